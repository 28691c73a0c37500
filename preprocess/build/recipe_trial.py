"""Tries a recipe on a few pictures before anything is written.

An operation that fails for one picture causes that picture to be refused. If it fails for each of
them, the recipe is at fault, and would cause a million of them to be refused one by one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from preprocess.augment import Recipe
from preprocess.augment.stage_clock import Stopwatch
from preprocess.build.dataset_plan import Plan
from preprocess.dataset_format import IMAGES
from preprocess.shards.build_shard import image_records
from preprocess.shards.contents import read_files
from preprocess.shards.shard_plan import PictureEntry
from preprocess.shell.errors import ConfigError
from preprocess.sources.refusals import Reason, Refused

PICTURES = 8  # that fail before the recipe is considered faulty
MOST_READ = 64  # pictures; unreadable ones show nothing about the recipe
# Of a user's own pipeline: an operation with probability 1/4 is missed in 16 draws once in a
# hundred times.
VARIANTS, OWN_VARIANTS = 2, 16


def rehearse(recipe: Recipe | None, plan: Plan) -> None:
    """Makes variants of the first training picture for which that works, and discards them.

    Raises ConfigError if it works for none.
    """
    if recipe is None:
        return
    variants = range(1, 1 + (OWN_VARIANTS if recipe.libraries or recipe.own_code else VARIANTS))
    failures: list[str] = []
    for entry in _first_entries(plan):
        (content,) = read_files([entry])
        try:
            for _ in image_records(entry, content, variants, plan.options, recipe, Stopwatch()):
                pass
        except Refused as refused:
            if refused.reason == Reason.RECIPE_FAILED:
                failures.append(f"'{entry.id}': {refused.detail}")
            if len(failures) == PICTURES:
                break
        else:
            return
    if failures:
        raise ConfigError(
            f"the recipe fails for all {len(failures)} pictures on which it was tried; "
            f"the first is {failures[0]}"
        )


def _first_entries(plan: Plan) -> Iterator[PictureEntry]:
    left = MOST_READ
    for shard in plan.shards:
        if shard.kind != IMAGES or shard.variants == 1:
            continue
        for line in shard.lines[:left]:
            yield PictureEntry(**json.loads(line))
        left -= len(shard.lines[:left])
