"""Prints the operations and numbers drawn for one variant of one picture.

    python -m preprocess explain DATASET IMAGE_ID VARIANT

The numbers are drawn again from (seed, recipe, image id, variant), exactly as the build drew
them. For an albumentations pipeline: its seed, and the transforms that were applied, if
albumentations is installed.
"""

from __future__ import annotations

from typing import Any

from absl import flags

from preprocess.shell.cli import print_json
from preprocess.shell.errors import DataError, UsageError, UserError

_JSON = flags.DEFINE_bool("json", False, "Print one JSON object.")


def main(arguments: list[str]) -> None:
    """Explains one variant."""
    from preprocess.augment import variant_generator
    from preprocess.augment.recipe import load_stored_recipe
    from preprocess.dataset_format import RECIPE_FILE, ImageKey
    from preprocess.pictures.refusal import one_line
    from preprocess.shards import reading
    from preprocess.shards.build_shard import as_rgb

    if len(arguments) != 3 or not arguments[2].isdecimal():
        raise UsageError(f"DATASET IMAGE_ID VARIANT expected, got {' '.join(arguments) or 'none'}")
    dataset, image_id, variant = arguments[0], arguments[1], int(arguments[2])
    manifest = reading.load_manifest(dataset)
    name, shard, position = reading.find_picture(dataset, manifest, image_id)
    split = manifest.splits[name]
    if variant >= split.variants:
        raise UsageError(f"split '{name}' has variants 0 to {split.variants - 1}, not {variant}")
    drawn = []
    if variant > 0:
        recipe = load_stored_recipe(dataset)
        if recipe.digest != manifest.recipe:
            raise DataError(f"'{dataset}/{RECIPE_FILE}' is not the recipe the dataset was built by")
        entry = reading.read_index(dataset, shard.file)[position]
        features = reading.read_at(dataset, shard.file, entry)
        height, width = features[ImageKey.HEIGHT], features[ImageKey.WIDTH]
        assert isinstance(height, int)
        assert isinstance(width, int)
        rng = variant_generator(manifest.seed, recipe.digest, image_id, variant)
        image = as_rgb(reading.pixels(features))
        try:
            drawn = recipe.explain(image, recipe.draw(rng, height, width))
        except UserError:
            raise
        except Exception as error:  # whatever a library raises for this picture
            raise DataError(f"the recipe fails for '{image_id}': {one_line(error)}") from None
    if _JSON.value:
        operations = [{"operation": d.operation, "numbers": dict(d.numbers)} for d in drawn]
        print_json({"id": image_id, "split": name, "variant": variant, "operations": operations})
        return
    print(f"{image_id} ({name}), variant {variant}")
    if not drawn:
        print("  as it came")
    for number, step in enumerate(drawn, 1):
        print(f"  {number}. {step.operation}: {_listed(step.numbers)}")
        for inner in step.numbers.get("applied") or ():
            print(f"     - {inner['transform']}: {_listed(inner['numbers'])}")


def _listed(numbers: dict[str, Any]) -> str:
    pairs = {key: value for key, value in numbers.items() if key not in ("pipeline", "applied")}
    return ", ".join(f"{key} {_readable(value)}" for key, value in pairs.items()) or "no numbers"


def _readable(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_readable(item) for item in value) + "]"
    if isinstance(value, dict):
        return "[" + _listed(value) + "]"
    return str(value)
