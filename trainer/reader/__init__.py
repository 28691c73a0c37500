"""Dataset directory -> batches.

A batch is a dict of tensors; b rows a replica:

    image   uint8 [b, H, W, C], or [b, 3, H, W, C] where a row is a triplet
    label   int64 [b]                  classification
    votes   float32 [b, 3]             triplets
    weight  float32 [b]                1 = a record, 0 = padding of a pass's last batch
    share   float32 [b]                weight over the records of the global batch
    row     int32 [b]                  in the global batch: keys the random numbers
    record  int64 [b]                  which record of the split it is, in stored order

`pictures.py` is for classifiers and streams records, or has other machines do so (`service.py`);
`triplets.py` gathers from an in-memory table of the pass's pictures (`table.py`), which classifiers
may do too; `cuts.py` cuts either after each stage, to be timed; the others are shared.
"""

from __future__ import annotations

from typing import Any

from preprocess.dataset_format import TRIPLET, Manifest
from trainer.reader.pictures import PictureReader
from trainer.reader.service import check_service
from trainer.reader.triplets import TripletReader

Reader = PictureReader | TripletReader


def open_reader(
    dataset: str,
    manifest: Manifest,
    split: str,
    config: Any,
    *,
    training: bool,
    reserved_bytes: int = 0,
) -> Reader:
    """The reader of a split: shuffled and in all its variants for training, otherwise variant
    0 in stored order.

    Args:
      dataset: the dataset directory, or its address (gs://...).
      manifest: its manifest.
      split: the name of the split.
      config: of the run.
      training: see above.
      reserved_bytes: memory that other readers' tables will take.

    Raises:
      DataError: the split is empty, or a shard is missing or has another size.
      StorageError, RestartError: the storage, or the tf.data service, does not answer.
      ConfigError: the table does not fit into memory, or pictures of several sizes.
    """
    if training and config.data.service:
        check_service(config.data.service)
    if manifest.task == TRIPLET:
        return TripletReader(
            dataset, manifest, split, config, training=training, reserved_bytes=reserved_bytes
        )
    return PictureReader(
        dataset, manifest, split, config, training=training, reserved_bytes=reserved_bytes
    )
