"""What a run's config.json records about the regression targets of its dataset."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from preprocess.dataset_format import Target
from preprocess.shell.errors import DataError
from preprocess.shell.json_text import JsonObject


def record_of_targets(targets: Sequence[Target]) -> JsonObject:
    """`targets` for config.json; {} if there are none."""
    return {"targets": [dataclasses.asdict(each) for each in targets]} if targets else {}


def recorded_targets(dataset: JsonObject) -> tuple[Target, ...]:
    """The inverse: targets from the dataset section of config.json."""
    return tuple(Target(**each) for each in dataset.get("targets", ()))


def check_same_targets(one: JsonObject, other: JsonObject, its_name: str, others_name: str) -> None:
    """Raises DataError if two datasets have different targets."""
    names, others = ([target.name for target in recorded_targets(each)] for each in (one, other))
    if names != others:
        raise DataError(
            f"{its_name} has the targets {', '.join(names) or 'none'}, but {others_name} has "
            f"{', '.join(others) or 'none'}; names and order must be equal"
        )
