"""Reading a dataset directory back without TensorFlow: records by position and by id."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from preprocess import dataset_format as df
from preprocess import storage
from preprocess.pictures.decode import decode
from preprocess.shards.tfrecord import Feature, RecordError, decode_example, read_records, unframe
from preprocess.shell.errors import DataError
from preprocess.sources.refusals import Refused, Rejection

# What every record of a kind has; of a label, only pictures of classes do.
_PICTURE = {
    **dict.fromkeys((df.ImageKey.ENCODED, df.ImageKey.FORMAT, df.ImageKey.ID), bytes),
    **dict.fromkeys((df.ImageKey.KEY, df.ImageKey.HEIGHT, df.ImageKey.WIDTH), int),
}
_TRIPLET = {df.TripletKey.IMAGES: list, df.TripletKey.VOTES: list, df.TripletKey.TYPE: bytes}


def load_manifest(dataset: str) -> df.Manifest:
    """The manifest of a dataset directory; raises DataError if there is none."""
    try:
        return find_manifest(dataset)
    except df.DatasetError as error:
        raise DataError(str(error)) from None


def find_manifest(dataset: str) -> df.Manifest:
    """The manifest of a dataset directory wherever it lies; raises DatasetError, as
    `Manifest.load` does.
    """
    return df.Manifest.load(dataset, read=storage.read_text)


def read_index(dataset: str, shard_file: str) -> list[df.IndexEntry]:
    """The index next to a shard; raises DataError if it cannot be read."""
    path = os.path.join(dataset, df.index_file(shard_file))
    try:
        return df.parse_index(storage.read_text(path))
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read the index '{path}': {error}") from None


def read_at(dataset: str, shard_file: str, entry: df.IndexEntry) -> dict[str, Feature]:
    """The features of one record; raises DataError if it is damaged."""
    try:
        record = storage.read_range(os.path.join(dataset, shard_file), entry.offset, entry.length)
        return checked(decode_example(unframe(record)))
    except (OSError, RecordError) as error:
        raise DataError(f"'{shard_file}' at byte {entry.offset}: {error}") from None


def records(dataset: str, shard_file: str) -> Iterator[dict[str, Feature]]:
    """The features of every record of a shard; raises DataError at the first damage."""
    try:
        for _, payload in read_records(os.path.join(dataset, shard_file)):
            yield checked(decode_example(payload))
    except (OSError, RecordError) as error:
        raise DataError(f"'{shard_file}': {error}; run `preprocess verify --deep`") from None


def checked(features: dict[str, Feature]) -> dict[str, Feature]:
    """The features of a picture or triplet, as they are; raises RecordError if one is missing or
    of another type: records may come from anybody.
    """
    kinds = _TRIPLET if df.TripletKey.IMAGES in features else _PICTURE
    for name, kind in kinds.items():
        if not isinstance(features.get(name), kind):
            raise RecordError(f"the record's {name} is missing or of another type")
    for name, number in ((df.TripletKey.IMAGES, int), (df.TripletKey.VOTES, float)):
        values = features.get(name, [number()] * 3)
        assert isinstance(values, list)
        if len(values) != 3 or not all(isinstance(value, number) for value in values):
            raise RecordError(f"the record's {name} are not three")
    image_id = features.get(df.ImageKey.ID, b"")
    assert isinstance(image_id, bytes)
    try:
        image_id.decode("utf-8")
    except UnicodeDecodeError:
        raise RecordError(f"the record's {df.ImageKey.ID} is not UTF-8") from None
    return features


def find_picture(dataset: str, manifest: df.Manifest, image_id: str) -> tuple[str, df.Shard, int]:
    """(split, shard of variant 0, position in it) of a picture; raises DataError if unknown."""
    key = df.image_key(image_id)
    # A picture that is in two splits is shown where it has more variants.
    for name, split in sorted(manifest.splits.items(), key=lambda item: -item[1].variants):
        shards = split.image_shards(0)
        if not shards:
            continue
        shard = shards[df.shard_of(key, len(shards))]
        for position, entry in enumerate(read_index(dataset, shard.file)):
            if entry.key == key:
                return name, shard, position
    if refused := _refusal(dataset, image_id):
        raise DataError(f"'{image_id}' was refused by the build: {refused}")
    similar = _similar_ids(dataset, manifest, image_id)
    hint = f"; is it {' or '.join(similar)}?" if similar else ""
    raise DataError(f"no picture '{image_id}' in the dataset{hint}")


def _refusal(dataset: str, image_id: str) -> str:
    """Why the build refused a picture; "" if it did not, or that cannot be read."""
    try:
        text = storage.read_text(os.path.join(dataset, df.REJECTED_FILE))
        refusals = [Rejection.from_json(line) for line in text.splitlines()]
    except (OSError, ValueError, TypeError):
        return ""
    return next((f"{r.reason}: {r.detail}" for r in refusals if r.source == image_id), "")


def _similar_ids(dataset: str, manifest: df.Manifest, image_id: str) -> list[str]:
    """Up to three ids that end like this one: of class folders, the id is SPLIT/CLASS/FILE."""
    ending = "/" + image_id.rsplit("/", 1)[-1]
    ids = (
        str(features[df.ImageKey.ID], "utf-8")  # type: ignore[arg-type]
        for split in manifest.splits.values()
        for shard in split.image_shards(0)
        for features in records(dataset, shard.file)
    )
    return list(itertools.islice((i for i in ids if i.endswith(ending)), 3))


def read_variant(
    dataset: str, split: df.Split, key: int, position: int, variant: int
) -> dict[str, Feature]:
    """One variant of the picture at `position` of its shard; all variants share the order."""
    shards = split.image_shards(variant)
    shard = shards[df.shard_of(key, len(shards))]
    index = read_index(dataset, shard.file)
    if position >= len(index) or index[position].key != key:
        raise DataError(f"'{shard.file}' does not hold the pictures of variant 0 in their order")
    return read_at(dataset, shard.file, index[position])


def pixels(features: dict[str, Feature]) -> NDArray[np.uint8]:
    """uint8[H,W,C] of an image record; raises DataError if it does not decode."""
    data = features.get(df.ImageKey.ENCODED)
    if not isinstance(data, bytes):
        raise DataError(f"an image record has no {df.ImageKey.ENCODED}")
    if features.get(df.ImageKey.FORMAT) == b"raw":
        sides = (df.ImageKey.HEIGHT, df.ImageKey.WIDTH, df.ImageKey.CHANNELS)
        shape = [features.get(name) for name in sides]
        try:
            if not all(isinstance(side, int) and side > 0 for side in shape):
                raise ValueError(f"{shape} are not valid sizes")
            return np.frombuffer(data, np.uint8).reshape(shape)  # type: ignore[arg-type]
        except ValueError as error:
            raise DataError(f"a raw picture does not have its shape: {error}") from None
    try:
        return decode(data).image
    except Refused as refused:
        raise DataError(f"a stored picture does not decode: {refused}") from None
