"""Dataset directory -> batches.

A batch is a dict of tensors, with b rows for each replica:

    image   uint8 [b, H, W, C], or [b, 3, H, W, C] if a row is a triplet
    label   int64 [b]                  classification
    labels  float32 [b, C]             several labels: 1 where a record has one, else 0
    numbers float32 [b, T]             regression, in their own units; also with a label or labels
    votes   float32 [b, 3]             triplets
    record_weight float32 [b]          weight of a record in the loss, if records have one
    weight  float32 [b]                1 = a record, 0 = padding of a pass's last batch
    share   float32 [b]                weight over the number of records in the global batch
    row     int32 [b]                  in the global batch: keys the random numbers
    record  int64 [b]                  number of the record in the split, in stored order

`pictures.py` is for classifiers and streams records; `triplets.py` gathers from an in-memory table
of the pass's pictures (`table.py`), which classifiers can do as well; `mixed.py` reads several sets
together; `cuts.py` cuts either after each stage for timing; the other files are shared.
"""

from __future__ import annotations

from collections.abc import Sequence

from preprocess.dataset_format import Manifest
from preprocess.shell.entries import load
from trainer.config.keys import Config, with_values
from trainer.config.task_table import task_kind
from trainer.data.mixed import MixedReader
from trainer.data.pictures import PictureReader
from trainer.data.sets import TrainingSet, shares_of, validation_splits
from trainer.data.shares import SetRows
from trainer.data.table_memory import TableMemory
from trainer.data.triplets import TripletReader

SetReader = PictureReader | TripletReader
Reader = SetReader | MixedReader


def open_reader(
    dataset: str,
    manifest: Manifest,
    split: str,
    config: Config,
    *,
    training: bool,
    memory: TableMemory | None = None,
    of_set: SetRows | None = None,
) -> SetReader:
    """The reader of a split: shuffled and in all its variants for training, otherwise variant 0 in
    stored order.

    Args:
      dataset: the dataset directory, or its address (gs://...).
      manifest: its manifest.
      split: the name of the split.
      config: of the run.
      training: see above.
      memory: for its tables; None = all that is free.
      of_set: its rows in batches of several sets, for MixedReader.

    Raises:
      DataError: the split is empty, or a shard is missing or has another size.
      StorageError: the storage does not respond.
      ConfigError: the table does not fit into memory, or pictures have several sizes.
    """
    kind: type[SetReader] = load(task_kind(manifest.task).records)
    return kind(
        dataset,
        manifest,
        split,
        config,
        training=training,
        memory=memory,
        of_set=of_set,
    )


def open_readers(
    config: Config,
    sets: Sequence[TrainingSet],
    variants: Sequence[int] = (),
    workers: int = 1,
) -> tuple[Reader, dict[str, SetReader]]:
    """The readers of training and of each validation split, which share the memory there is.

    Args:
      config: of the run.
      sets: of the run.
      variants: how many of each set are read; empty = as the configuration has it.
      workers: of the run, this one among them, that take from the same memory.
    """
    configs = [each.config(config) for each in sets]
    for number, read in enumerate(variants):
        configs[number] = with_values(configs[number], {"data.variants": read})
    several, memory, training = len(sets) > 1, TableMemory(workers), list[SetReader]()
    shares = shares_of(config.data, sets) if several else None
    for number, (each, its_config) in enumerate(zip(sets, configs, strict=True)):
        reader = open_reader(
            each.path,
            each.manifest,
            config.data.train_split,
            its_config,
            training=True,
            memory=memory,
            of_set=SetRows(shares, number, config.batch_size) if shares else None,
        )
        training.append(reader)
        memory.reserve(reader.table_bytes)
    validation: dict[str, SetReader] = {}
    for label, each, split in validation_splits(config, sets):
        validation[label] = open_reader(
            each.path,
            each.manifest,
            split,
            configs[each.number - 1],
            training=False,
            memory=memory,
        )
        memory.reserve(validation[label].table_bytes)
    return (MixedReader(training, shares) if shares else training[0]), validation
