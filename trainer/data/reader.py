"""Dataset directory -> batches.

A batch is a dict of tensors, with b rows for each replica:

    image   uint8 [b, H, W, C], or [b, 3, H, W, C] if a row is a triplet
    label   int64 [b]                  classification
    labels  float32 [b, C]             several labels: 1 where a record has one, else 0
    numbers float32 [b, T]             regression, in their own units
    votes   float32 [b, 3]             triplets
    record_weight float32 [b]          weight of a record in the loss, if records have one
    weight  float32 [b]                1 = a record, 0 = padding of a pass's last batch
    share   float32 [b]                weight over the number of records in the global batch
    row     int32 [b]                  in the global batch: keys the random numbers
    record  int64 [b]                  number of the record in the split, in stored order

`pictures.py` is for classifiers and streams records, or has other machines do it (`service.py`);
`triplets.py` gathers from an in-memory table of the pass's pictures (`table.py`), which classifiers
can do as well; `cuts.py` cuts either after each stage for timing; the other files are shared.
"""

from __future__ import annotations

from preprocess.dataset_format import Manifest
from preprocess.shell.entries import load
from trainer.config.keys import Config
from trainer.config.task_table import task_kind
from trainer.data.pictures import PictureReader
from trainer.data.service import check_service
from trainer.data.triplets import TripletReader

Reader = PictureReader | TripletReader


def open_reader(
    dataset: str,
    manifest: Manifest,
    split: str,
    config: Config,
    *,
    training: bool,
    reserved_bytes: int = 0,
) -> Reader:
    """The reader of a split: shuffled and in all its variants for training, otherwise variant 0 in
    stored order.

    Args:
      dataset: the dataset directory, or its address (gs://...).
      manifest: its manifest.
      split: the name of the split.
      config: of the run.
      training: see above.
      reserved_bytes: memory reserved for other readers' tables.

    Raises:
      DataError: the split is empty, or a shard is missing or has another size.
      StorageError, RestartError: the storage, or the tf.data service, does not respond.
      ConfigError: the table does not fit into memory, or pictures have several sizes.
    """
    if training and config.data.service:
        check_service(config.data.service)
    kind: type[Reader] = load(task_kind(manifest.task).records)
    return kind(dataset, manifest, split, config, training=training, reserved_bytes=reserved_bytes)
