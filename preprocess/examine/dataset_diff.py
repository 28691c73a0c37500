"""How two dataset directories differ: inputs, recipe, counts, digests, classes."""

from __future__ import annotations

import dataclasses
import difflib
import os
from typing import Any

from preprocess import dataset_format as df
from preprocess import storage
from preprocess.shards.reading import load_manifest, read_index


def diff(first: str, second: str) -> dict[str, Any]:
    """What differs, by name: [value of the first, value of the second]; pictures by split as
    counts of those only in one of them; the recipe as a unified diff. Empty = the same bytes.

    Raises DataError if one of the two is no dataset directory.
    """
    a, b = load_manifest(first), load_manifest(second)
    found: dict[str, Any] = {}
    for name in ("task", "seed", "variants", "digest", "fingerprint"):
        _note(found, name, getattr(a, name), getattr(b, name))
    for field in dataclasses.fields(df.ImageFormat):
        _note(
            found, f"image.{field.name}", getattr(a.image, field.name), getattr(b.image, field.name)
        )
    for name in sorted({*a.versions, *b.versions}):
        _note(found, f"versions.{name}", a.versions.get(name), b.versions.get(name))
    _note(found, "classes", list(a.classes), list(b.classes))
    _note(found, "rejected", a.rejected, b.rejected)
    for name in sorted({*a.splits, *b.splits}):
        _splits(found, name, (first, a.splits.get(name)), (second, b.splits.get(name)))
    recipe = _recipe(first, second)
    if recipe:
        found["recipe"] = recipe
    return found


def _note(found: dict[str, Any], name: str, a: Any, b: Any) -> None:
    if a != b:
        found[name] = [a, b]


def _splits(
    found: dict[str, Any],
    name: str,
    first: tuple[str, df.Split | None],
    second: tuple[str, df.Split | None],
) -> None:
    (where_a, a), (where_b, b) = first, second
    if a is None or b is None:
        found[f"splits.{name}"] = [a and a.images, b and b.images]
        return
    for field in ("images", "triplets", "variants"):
        _note(found, f"splits.{name}.{field}", getattr(a, field), getattr(b, field))
    shards_a, shards_b = a.image_shards(0), b.image_shards(0)
    _note(found, f"splits.{name}.shards", len(shards_a), len(shards_b))
    if [s.sha256 for s in shards_a] != [s.sha256 for s in shards_b]:
        keys_a, keys_b = _keys(where_a, shards_a), _keys(where_b, shards_b)
        _note(found, f"splits.{name}.only_here", len(keys_a - keys_b), len(keys_b - keys_a))


def _keys(dataset: str, shards: list[df.Shard]) -> set[int]:
    return {entry.key for shard in shards for entry in read_index(dataset, shard.file)}


def _recipe(first: str, second: str) -> list[str]:
    def lines(dataset: str) -> list[str]:
        try:
            return storage.read_text(os.path.join(dataset, df.RECIPE_FILE)).splitlines()
        except FileNotFoundError:
            return []

    names = [os.path.join(dataset, df.RECIPE_FILE) for dataset in (first, second)]
    return list(
        difflib.unified_diff(lines(first), lines(second), names[0], names[1], lineterm="", n=1)
    )
