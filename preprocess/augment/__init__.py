"""The heavy augmentation that is done once, ahead of time.

A recipe (`recipe.py`, YAML) is an ordered list of operations (`geometry.py`, `colour.py`,
`damage.py`), each with a probability and ranges (`settings.py`). For one variant of one
picture a recipe *draws* what will be done and with which numbers, and then *applies* exactly
that: all chance is in the drawing, all pixels are in the applying. `canvas.py` applies it
with as few passes over the pixels as it can. `albumentations_adapter.py` takes a pipeline of that
library as one operation.

Nothing here reads or writes a picture's file, starts a thread or keeps state between pictures.
Callers who run many processes call `cv2.setNumThreads(0)` themselves.
"""

from preprocess.augment.generator import variant_generator
from preprocess.augment.operation import Drawn
from preprocess.augment.recipe import SHIPPED_RECIPES, Recipe, load_recipe

__all__ = ["SHIPPED_RECIPES", "Drawn", "Recipe", "load_recipe", "variant_generator"]
