"""Finished runs, opened again: the model of a run directory with the weights of a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow as tf

from preprocess.shell.errors import DataError
from preprocess.shell.json_text import JsonObject
from trainer.config import Config, from_dict, to_dict, unchecked, with_values
from trainer.config.combinations import check_config
from trainer.config.own_code import moved_files, recorded_sources, with_files
from trainer.config.trust import check_trusted, foreign_code
from trainer.config.values import coerce
from trainer.data.recorded import check_same_targets, recorded_targets
from trainer.training.checkpoints import Checkpoints
from trainer.training.run_directory import RunDirectory
from trainer.training.session import Session, build_session
from trainer.workers import devices


class Run(NamedTuple):
    """A run directory's model, ready to predict."""

    path: Path
    session: Session
    dataset: JsonObject  # what config.json says of the dataset it was trained on
    step: int
    trained_batch: int  # rows of a batch in training


def open_run(
    workdir: str, checkpoint: str, say: Callable[[str], None], trusted: Collection[str] = ()
) -> Run:
    """Opens one run on one device; arguments and errors of open_runs()."""
    (run,) = open_runs_here([workdir], checkpoint, say, trusted)
    return run


def open_runs_here(
    workdirs: list[str],
    checkpoint: str,
    say: Callable[[str], None],
    trusted: Collection[str] = (),
    batch_size: int = 0,
) -> list[Run]:
    """open_runs() on one device, whatever the runs were trained on."""
    devices.warn_of_unseen_gpus(say)
    tf.keras.backend.set_image_data_format("channels_last")
    strategy = tf.distribute.get_strategy()
    return open_runs(workdirs, checkpoint, say, trusted, batch_size, strategy)


def open_runs(
    workdirs: list[str],
    checkpoint: str,
    say: Callable[[str], None],
    trusted: Collection[str] = (),
    batch_size: int = 0,
    strategy: Any = None,
) -> list[Run]:
    """Opens run directories, all for the same task and classes, on this machine's devices.

    Args:
      workdirs: run directories.
      checkpoint: "last" or "best".
      say: takes warnings.
      trusted: hub modules and references that may be loaded, besides those that this user has
        trained with.
      batch_size: records at a time; 0 = each run's own. It is rounded up to a multiple of the
        replicas: measuring does not depend on it.
      strategy: None = the one that the first run's configuration asks for.

    Raises:
      UsageError: a run names a hub module or own code that nobody has vouched for.
      DataError: no run directory, no such checkpoint, or runs that do not belong together.
      ConfigError: a batch size out of range.
    """
    runs = []
    for path, record in _records(workdirs, trusted, say).items():
        if strategy is None:
            strategy = devices.prepare(from_dict(record["config"]), say)
        runs.append(_open(path, record, checkpoint, strategy, batch_size))
    return runs


def _records(
    workdirs: list[str], trusted: Collection[str], say: Callable[[str], None]
) -> dict[str, JsonObject]:
    """What is recorded of each run, with the files of this machine; raises where they do not belong
    together, or nobody has vouched for their code.
    """
    records = {path: RunDirectory(path).read_config() for path in workdirs}
    first = records[workdirs[0]]["dataset"]
    for path, record in records.items():
        record["config"] = to_dict(_with_trusted(record, path, trusted, say))
        for key in ("task", "classes"):
            if record["dataset"][key] != first[key]:
                raise DataError(f"'{path}' and '{workdirs[0]}' differ in their {key}")
        check_same_targets(first, record["dataset"], f"'{workdirs[0]}'", f"'{path}'")
    return records


def _with_trusted(
    record: JsonObject, workdir: str, trusted: Collection[str], say: Callable[[str], None]
) -> Config:
    recorded, before = recorded_sources(record), unchecked(record["config"])
    config = with_files(before, trusted, recorded)
    for code in foreign_code(config, training=False).values():
        check_trusted(code, workdir, trusted)
    for moved in moved_files(before, config, recorded):
        say(f"'{workdir}': {moved}")
    check_config(config)
    return config


def _open(path: str, record: JsonObject, checkpoint: str, strategy: Any, batch_size: int) -> Run:
    config, dataset = from_dict(record["config"]), record["dataset"]
    tf.keras.mixed_precision.set_global_policy(config.precision)
    replicas, trained_batch = strategy.num_replicas_in_sync, config.batch_size
    batch_size = batch_size or trained_batch
    coerce("batch_size", batch_size)
    config = with_values(
        config,
        {
            "jit_compile": False,
            "batch_size": -(-batch_size // replicas) * replicas,
            # Nothing trains here, and names of layers may differ.
            "model.trainable": "all",
            "stages": (),
        },
    )
    # The checkpoint brings the weights: none are fetched for the sake of being replaced.
    session = build_session(
        config,
        strategy,
        dataset["task"],
        dataset["classes"],
        weights=False,
        targets=recorded_targets(dataset),
    )
    directory = RunDirectory(path)
    state = Checkpoints(directory.checkpoints).load_weights(checkpoint, session)
    return Run(directory.path, session, dataset, state["step"], trained_batch)
