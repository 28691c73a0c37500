"""The labels of a split, read from its records without pixels."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from preprocess.dataset_format import ImageKey, Shard, Split
from preprocess.shell.errors import DataError
from trainer.data.records import ShardRecords
from trainer.data.storage import for_each


def stored_labels(dataset: str, split: Split, classes: int) -> NDArray[np.int64]:
    """int64[n] in stored order, of a record as many as it has; reads all of variant 0.

    Raises:
      DataError: a record is damaged, or has a label outside of the classes.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.train import Example

    def labels(shard: Shard) -> list[int]:
        records = ShardRecords(dataset, shard)
        found: list[int] = []
        for at in range(shard.records):
            try:
                features = Example.FromString(records.payload(at)).features.feature
            except DecodeError:
                raise _bad(dataset, shard, at, "is no serialised example") from None
            for key in (ImageKey.LABEL, ImageKey.LABELS):
                given = features[key].int64_list.value
                odd = [label for label in given if not 0 <= label < classes]
                if odd:
                    fault = f"has a label outside of the classes ({odd[0]})"
                    raise _bad(dataset, shard, at, fault)
                found.extend(given)
        return found

    found = for_each(labels, split.image_shards(), dataset)
    return np.asarray([label for part in found for label in part], np.int64)


def _bad(dataset: str, shard: Shard, at: int, what: str) -> DataError:
    where = f"record {at} of '{os.path.join(dataset, shard.file)}'"
    return DataError(f"{where} {what}; run `python -m preprocess verify --deep`")
