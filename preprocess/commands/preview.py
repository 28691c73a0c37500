"""Draws a contact sheet: a row a picture, a column a variant; below, triplets with their votes.

    python -m preprocess preview DATASET --output=preview.png

Look at it before training: a colour swap, a black border or an operation that hides the
label is seen here first.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from typing import Any

from absl import flags

from preprocess.cli import one_argument
from preprocess.dataset_format import Split

_OUTPUT = flags.DEFINE_string("output", None, "PNG file to write.", required=True)
_SPLIT = flags.DEFINE_string("split", "train", "Split to show.")
_ROWS = flags.DEFINE_integer("rows", 6, "Pictures to show.", lower_bound=1, upper_bound=64)
_TRIPLETS = flags.DEFINE_integer(
    "triplets", 6, "Triplets to show below.", lower_bound=0, upper_bound=64
)
_CELL = flags.DEFINE_integer(
    "cell", 112, "Side of a cell in pixels.", lower_bound=32, upper_bound=512
)
_SEED = flags.DEFINE_integer("seed", 0, "Of the choice of pictures.")


def main(arguments: list[str]) -> None:
    """Writes the sheet and prints its path."""
    import numpy as np

    from preprocess import contact_sheet, reading, storage
    from preprocess.encode import encode
    from preprocess.errors import DataError, UsageError

    dataset = one_argument(arguments, "DATASET")
    manifest = reading.load_manifest(dataset)
    if _SPLIT.value not in manifest.splits:
        raise DataError(f"no split '{_SPLIT.value}'; there are {', '.join(manifest.splits)}")
    split = manifest.splits[_SPLIT.value]
    if not split.images:
        raise DataError(f"split '{_SPLIT.value}' has no pictures to show")
    choice = random.Random(_SEED.value)
    places = [
        (shard, entry, position)
        for shard in split.image_shards(0)
        for position, entry in enumerate(reading.read_index(dataset, shard.file))
    ]
    rows = []
    for _, entry, position in choice.sample(places, min(_ROWS.value, len(places))):
        variants = [
            reading.read_variant(dataset, split, entry.key, position, variant)
            for variant in range(split.variants)
        ]
        rows.append((_title(variants[0], manifest.classes), [reading.pixels(v) for v in variants]))
    columns = ["original", *(f"variant {v}" for v in range(1, split.variants))]
    sheets = [contact_sheet.variants_sheet(rows, columns, _CELL.value)]
    if split.triplets and _TRIPLETS.value:
        positions = {entry.key: position for _, entry, position in places}
        sheets.append(
            contact_sheet.triplets_sheet(
                [
                    _triplet(dataset, split, positions, features)
                    for features in _first_triplets(dataset, split, _TRIPLETS.value)
                ],
                _CELL.value,
            )
        )
    width = max(sheet.shape[1] for sheet in sheets)
    padded = [
        np.pad(s, ((0, 0), (0, width - s.shape[1]), (0, 0)), constant_values=255) for s in sheets
    ]
    data = encode(np.ascontiguousarray(np.concatenate(padded)), "png", 95)
    try:
        if storage.is_remote(_OUTPUT.value):
            storage.write_bytes(_OUTPUT.value, data)
        else:  # as it is, so that a pipe or a device may be named
            with open(_OUTPUT.value, "wb") as file:
                file.write(data)
    except OSError as error:
        raise UsageError(f"--output='{_OUTPUT.value}': {error.strerror}") from None
    print(_OUTPUT.value)


def _title(features: dict[str, Any], classes: Sequence[str]) -> str:
    from preprocess.dataset_format import ImageKey

    name: str = features[ImageKey.ID].decode("utf-8")
    label = features.get(ImageKey.LABEL)
    return name if label is None else f"{classes[label]}: {name.rsplit('/', 1)[-1]}"


def _first_triplets(dataset: str, split: Split, count: int) -> list[dict[str, Any]]:
    from preprocess.reading import records

    everything = (
        features for shard in split.triplet_shards() for features in records(dataset, shard.file)
    )
    return list(itertools.islice(everything, count))


def _triplet(
    dataset: str, split: Split, positions: dict[int, int], features: dict[str, Any]
) -> tuple[list[Any], list[float], str]:
    from preprocess import reading
    from preprocess.dataset_format import TripletKey
    from preprocess.errors import DataError

    keys = features[TripletKey.IMAGES]
    if not positions.keys() >= set(keys):
        raise DataError("a triplet names a picture that is not there; run `preprocess verify`")
    images = [
        reading.pixels(reading.read_variant(dataset, split, key, positions[key], 0)) for key in keys
    ]
    return images, features[TripletKey.VOTES], features[TripletKey.TYPE].decode("utf-8")
