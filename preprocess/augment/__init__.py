"""The heavy augmentation that is done once, ahead of time.

A recipe (recipe.py, YAML) is an ordered list of operations (operations/, a file each), each with a
probability and ranges (settings.py). For one variant of one picture a recipe *draws* what will be
done and with which numbers, and then *applies* exactly that. canvas.py applies it with as few
passes over the pixels as it can. No picture's file, no thread, no state between pictures.
Imports storage, the dataset format and the shell. Start reading at recipe.py.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from preprocess.augment.generator import variant_generator
    from preprocess.augment.names import SHIPPED_RECIPES
    from preprocess.augment.operation import Drawn
    from preprocess.augment.recipe import Recipe, load_recipe

__all__ = ["SHIPPED_RECIPES", "Drawn", "Recipe", "load_recipe", "variant_generator"]

_HOMES = {
    "SHIPPED_RECIPES": "names",
    "Drawn": "operation",
    "Recipe": "recipe",
    "load_recipe": "recipe",
    "variant_generator": "generator",
}


def __getattr__(name: str) -> Any:
    """What is named above, loaded when it is asked for: a command's help does without OpenCV."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
