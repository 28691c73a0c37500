"""Objects as YAML documents, in the order in which they are submitted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml


class _Dumper(yaml.SafeDumper):
    """Without aliases: two equal lists are written out twice, as a person would."""

    def ignore_aliases(self, data: Any) -> bool:
        """Always."""
        del data
        return True


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    """A file is written line by line, where YAML can."""
    style = "|" if text.count("\n") > 1 else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _text)


def to_yaml(objects: Sequence[dict[str, Any]]) -> str:
    """YAML documents with keys in their given order."""
    return yaml.dump_all(objects, Dumper=_Dumper, sort_keys=False, width=100, explicit_start=True)


def title(o: dict[str, Any]) -> str:
    """`Job shardline/run`, for messages."""
    metadata = o.get("metadata") or {}
    namespace = metadata.get("namespace")
    name = metadata.get("name", "(no name)")
    return f"{o.get('kind', '(no kind)')} {namespace + '/' if namespace else ''}{name}"
