"""A recipe that calls code not ours is tried on one picture before anything is written."""

from __future__ import annotations

import json

from preprocess.augment import Recipe
from preprocess.dataset_format import IMAGES
from preprocess.plan import PictureEntry, Plan
from preprocess.refusals import Refused
from preprocess.shards import image_records, read_picture
from preprocess.stages import Stopwatch

# An operation that fires once in four draws stays silent in 16 of them once in a hundred times.
VARIANTS = 16


def rehearse(recipe: Recipe | None, plan: Plan) -> None:
    """Makes variants of the first training picture that can be read, and forgets them.

    Raises ConfigError where the recipe fails or changes what must stay, which the workers would
    otherwise find out one by one, after the plan is made.
    """
    if recipe is None or not recipe.libraries:
        return
    for shard in plan.shards:
        if shard.kind != IMAGES or shard.variants == 1:
            continue
        for line in shard.lines:
            entry = PictureEntry(**json.loads(line))
            try:
                data, decoded = read_picture(entry)
            except Refused:
                continue
            variants = range(VARIANTS)
            for _ in image_records(
                entry, data, decoded, variants, plan.options, recipe, Stopwatch()
            ):
                pass
            return
