"""JSON that every reader takes: no NaN and no infinity, which the format does not have."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, TypeAlias

JsonObject: TypeAlias = dict[str, Any]
"""An object of JSON as it is read and written: texts, numbers, lists and objects by key."""


def json_text(value: Any, indent: int | None = None) -> str:
    """Plain data as JSON in the order given; a number that is not finite becomes null."""
    return json.dumps(_finite(value), ensure_ascii=False, indent=indent)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, (list, tuple)) else value
