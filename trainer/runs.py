"""Finished runs, opened again: the model of a run directory with the weights of a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow as tf

from trainer import devices
from trainer.checkpoints import Checkpoints
from trainer.config import from_dict
from trainer.errors import DataError
from trainer.run_directory import RunDirectory
from trainer.session import Session, build_session


class Run(NamedTuple):
    """A run directory's model, ready to predict."""

    path: Path
    session: Session
    dataset: dict[str, Any]  # what config.json says of the dataset it was trained on
    step: int


def open_run(workdir: str, checkpoint: str, say: Callable[[str], None]) -> Run:
    """Opens one run on one device, whatever it was trained on; arguments and errors of
    open_runs().
    """
    devices.warn_of_unseen_gpus(say)
    tf.keras.backend.set_image_data_format("channels_last")
    record = RunDirectory(workdir).read_config()
    return _open(workdir, record, checkpoint, tf.distribute.get_strategy())


def open_runs(workdirs: list[str], checkpoint: str, say: Callable[[str], None]) -> list[Run]:
    """Opens run directories, all for the same task and classes, on this machine's devices.

    Args:
      workdirs: run directories.
      checkpoint: "last" or "best".
      say: takes warnings.

    Raises:
      DataError: no run directory, no such checkpoint, or runs that do not belong together.

    The batch is that of the run, rounded up to a multiple of the replicas: measuring does not
    depend on it.
    """
    records = [RunDirectory(path).read_config() for path in workdirs]
    first = records[0]["dataset"]
    for path, record in zip(workdirs, records, strict=True):
        for key in ("task", "classes"):
            if record["dataset"][key] != first[key]:
                raise DataError(f"'{path}' and '{workdirs[0]}' differ in their {key}")
    strategy: Any = None
    runs = []
    for path, record in zip(workdirs, records, strict=True):
        if strategy is None:
            strategy = devices.prepare(from_dict(record["config"]), say)
        runs.append(_open(path, record, checkpoint, strategy))
    return runs


def _open(path: str, record: dict[str, Any], checkpoint: str, strategy: Any) -> Run:
    config, dataset = from_dict(record["config"]), record["dataset"]
    config.jit_compile = False
    tf.keras.mixed_precision.set_global_policy(config.precision)
    replicas = strategy.num_replicas_in_sync
    config.batch_size = -(-config.batch_size // replicas) * replicas
    config.model.trainable = "all"  # nothing trains here, and names of layers may differ
    # The checkpoint brings the weights: none are fetched for the sake of being replaced.
    session = build_session(
        config, strategy, dataset["task"], len(dataset["classes"]), weights=False
    )
    directory = RunDirectory(path)
    state = Checkpoints(directory.checkpoints).load_weights(checkpoint, session)
    return Run(directory.path, session, dataset, state["step"])
