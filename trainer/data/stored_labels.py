"""The labels of a split, read from its records by themselves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preprocess.dataset_format import ImageKey, Shard, Split
from trainer.data.records import ShardRecords
from trainer.data.storage import for_each


def stored_labels(dataset: str, split: Split) -> NDArray[np.int64]:
    """int64[n] in stored order, of a record as many as it has; reads all of variant 0.

    Raises:
      DataError: a record is damaged.
    """
    from tensorflow.train import Example

    def labels(shard: Shard) -> list[int]:
        records = ShardRecords(dataset, shard)
        found: list[int] = []
        for at in range(shard.records):
            features = Example.FromString(records.payload(at)).features.feature
            for key in (ImageKey.LABEL, ImageKey.LABELS):
                found.extend(features[key].int64_list.value)
        return found

    found = for_each(labels, split.image_shards(), dataset)
    return np.asarray([label for part in found for label in part], np.int64)
