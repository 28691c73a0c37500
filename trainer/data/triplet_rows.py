"""The triplets of a split in memory: three picture numbers and three votes each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from preprocess.dataset_format import Shard
from preprocess.shell.errors import DataError
from trainer.data.picture_record import BadRecordError, parse_triplet
from trainer.data.records import scanned


class TripletRows(NamedTuple):
    """N triplets in stored order.

    ranks: int64[N, 3], numbers of pictures in stored order. votes: float32[N, 3].
    """

    ranks: NDArray[np.int64]
    votes: NDArray[np.float32]


def read_triplets(dataset: str, shards: Sequence[Shard], keys: NDArray[np.int64]) -> TripletRows:
    """The triplets of shards.

    Args:
      dataset: the dataset directory, or its address.
      shards: of triplets.
      keys: int64[n] of the pictures, ascending.

    Raises:
      DataError: a shard is damaged, or a triplet names a missing picture.
    """
    images, votes = [], []
    for shard in shards:
        path = os.path.join(dataset, shard.file)
        for offset, payload in scanned(path):
            try:
                triplet = parse_triplet(payload)
            except BadRecordError as error:
                raise DataError(
                    f"'{path}' has a bad record at byte {offset}: {error}; "
                    "run `python -m preprocess verify --deep`"
                ) from None
            images.append(triplet.images)
            votes.append(triplet.votes)
    named = np.array(images, np.int64).reshape(-1, 3)
    return TripletRows(ranks_of(named, keys), np.array(votes, np.float32).reshape(-1, 3))


def ranks_of(images: NDArray[np.int64], keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """The index of each key of triplets int64[N, 3] among the ascending keys int64[n].

    Raises:
      DataError: a key is missing.
    """
    ranks = np.searchsorted(keys, images)
    if not np.array_equal(keys[np.minimum(ranks, len(keys) - 1)], images):
        raise DataError(
            "a triplet names a picture that is not in the dataset; "
            "run `python -m preprocess verify --deep`"
        )
    return ranks
