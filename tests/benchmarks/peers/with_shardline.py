"""Ours: the trainer's reader, and `open_dataset` for other loops."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


def streamed(dataset: Path, scratch: Path, size: int, cores: int) -> Callable[[], Iterator[int]]:
    """One pass of the trainer's reader at each call."""
    del scratch, cores
    from preprocess.dataset_format import Manifest
    from trainer.config import Config, with_values
    from trainer.data.order import ReplicaSlice
    from trainer.data.reader import open_reader

    values: dict[str, Any] = {
        "task": "classification",
        "batch_size": size,
        "data.validation_splits": (),
    }
    manifest, config = Manifest.load(str(dataset)), with_values(Config(), values)
    reader = open_reader(str(dataset), manifest, "train", config, training=True)

    def a_pass() -> Iterator[int]:
        for batch in reader.dataset(0, ReplicaSlice(), reader.steps_per_pass):
            yield len(batch["image"])

    return a_pass


def arrays(dataset: Path, scratch: Path, size: int, cores: int) -> Callable[[], Iterator[int]]:
    """One pass of `numpy_batches` at each call, which keeps nothing of the one before."""
    del scratch, cores
    from trainer.data import open_dataset

    def a_pass() -> Iterator[int]:
        loader = open_dataset(str(dataset), batch_size=size)
        for batch in loader.numpy_batches(loader.steps_per_pass):
            yield len(batch["image"])

    return a_pass
