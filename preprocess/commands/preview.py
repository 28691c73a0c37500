"""Draws a contact sheet: one row per picture, one column per variant; then triplets with votes.

    python -m preprocess preview DATASET --output=preview.png

Look at it before training: swapped colours, black borders or an operation that hides the label
are easiest to see here.
"""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Iterator, Sequence
from typing import Any

from absl import flags

from preprocess.dataset_format import Split
from preprocess.shell.cli import one_argument
from preprocess.shell.path_flags import define_path

_OUTPUT = define_path("output", None, "PNG file to write.", required=True)
_SPLIT = flags.DEFINE_string("split", "", "Split to show; by default train, or the first.")
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

    from preprocess import storage
    from preprocess.examine import contact_sheet
    from preprocess.shards import reading
    from preprocess.shards.encode import encode
    from preprocess.shell.errors import DataError, UsageError

    dataset = one_argument(arguments, "DATASET")
    manifest = reading.load_manifest(dataset)
    name = _SPLIT.value or ("train" if "train" in manifest.splits else next(iter(manifest.splits)))
    if name not in manifest.splits:
        raise DataError(f"no split '{name}'; the dataset has {', '.join(manifest.splits)}")
    split = manifest.splits[name]
    if not split.images:
        raise DataError(f"split '{name}' has no pictures to show")
    choice = random.Random(_SEED.value)
    places = [
        (shard, entry, position)
        for shard in split.image_shards(0)
        for position, entry in enumerate(reading.read_index(dataset, shard.file))
    ]
    rows: list[tuple[str, list[Any]]] = []
    for _, entry, position in choice.sample(places, len(places)):
        if len(rows) == _ROWS.value:
            break
        # One that is damaged costs its row only.
        with _left_out(f"picture {position} of its shard"):
            variants = [
                reading.read_variant(dataset, split, entry.key, position, variant)
                for variant in range(split.variants)
            ]
            title = _title(variants[0], manifest.classes)
            rows.append((title, [reading.pixels(variant) for variant in variants]))
    if not rows:
        raise DataError(f"no picture of split '{name}' can be shown; run `preprocess verify`")
    columns = ["original", *(f"variant {v}" for v in range(1, split.variants))]
    sheets = [contact_sheet.variants_sheet(rows, columns, _CELL.value)]
    if split.triplets and _TRIPLETS.value:
        positions = {entry.key: position for _, entry, position in places}
        triplets = []
        for features in _first_triplets(dataset, split, _TRIPLETS.value):
            with _left_out("a triplet"):
                triplets.append(_triplet(dataset, split, positions, features))
        sheets.append(contact_sheet.triplets_sheet(triplets, _CELL.value))
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


@contextlib.contextmanager
def _left_out(what: str) -> Iterator[None]:
    """Continues without what is damaged, with a warning on stderr."""
    from preprocess.shell.cli import say
    from preprocess.shell.errors import DataError

    try:
        yield
    except DataError as error:
        say(f"left out: {what}: {error}")


def _title(features: dict[str, Any], classes: Sequence[str]) -> str:
    from preprocess.dataset_format import ImageKey
    from preprocess.shell.errors import DataError

    name: str = features[ImageKey.ID].decode("utf-8")
    label = features.get(ImageKey.LABEL)
    if label is not None and not (isinstance(label, int) and 0 <= label < len(classes)):
        raise DataError(f"'{name}' has label {label}, but there are {len(classes)} classes")
    several = features.get(ImageKey.LABELS, [])
    numbers = [label] if label is not None else several if isinstance(several, list) else [several]
    if any(not 0 <= number < len(classes) for number in numbers):
        raise DataError(f"'{name}' has labels {numbers}, but there are {len(classes)}")
    labels = ", ".join(classes[number] for number in numbers)
    return f"{labels}: {name.rsplit('/', 1)[-1]}" if labels else name


def _first_triplets(dataset: str, split: Split, count: int) -> list[dict[str, Any]]:
    from preprocess.shards.reading import records

    everything = (
        features for shard in split.triplet_shards() for features in records(dataset, shard.file)
    )
    return list(itertools.islice(everything, count))


def _triplet(
    dataset: str, split: Split, positions: dict[int, int], features: dict[str, Any]
) -> tuple[list[Any], list[float], str]:
    from preprocess.dataset_format import TripletKey
    from preprocess.shards import reading
    from preprocess.shell.errors import DataError

    keys = features[TripletKey.IMAGES]
    if not positions.keys() >= set(keys):
        raise DataError("a triplet names a missing picture; run `preprocess verify`")
    images = [
        reading.pixels(reading.read_variant(dataset, split, key, positions[key], 0)) for key in keys
    ]
    return images, features[TripletKey.VOTES], features[TripletKey.TYPE].decode("utf-8", "replace")
