"""The JPEGs of a dataset's shards, without TensorFlow, for the formats of the others."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path


def shards(dataset: Path) -> list[Path]:
    """The shards of the training pictures, variant 0."""
    return sorted(dataset.glob("train/variant-00/*.tfrecord"))


def frames(shard: Path) -> Iterator[tuple[int, int, bytes]]:
    """Each record of a shard: where it begins, its length with what frames it, and its payload."""
    with shard.open("rb") as file:
        at = 0
        while head := file.read(12):
            (length,) = struct.unpack("<Q", head[:8])
            payload = file.read(length)
            file.read(4)
            yield at, 16 + length, payload
            at += 16 + length


def jpegs(dataset: Path) -> Iterator[bytes]:
    """The pictures, from the first to the last bytes of each JPEG."""
    for shard in shards(dataset):
        for _, _, payload in frames(shard):
            end = payload.rindex(b"\xff\xd9") + 2
            yield payload[payload.index(b"\xff\xd8\xff") : end]
