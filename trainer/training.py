"""`trainer train` from its parts: dataset, session, loop, report."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from preprocess.dataset_format import DatasetError, Manifest
from trainer import devices
from trainer.checkpoints import LAST, Checkpoints
from trainer.config import differences, to_dict
from trainer.errors import ConfigError, DataError, OutputError, full_disk
from trainer.loop import Loop
from trainer.optimizers import build_optimizer
from trainer.reader import Reader, open_reader
from trainer.reporting import start_log, write_report
from trainer.run_directory import RunDirectory, versions
from trainer.session import Session, session_for
from trainer.tensorboard import TensorBoardLog


def load_manifest(dataset: str) -> Manifest:
    """The manifest of a dataset directory; raises DataError where there is none."""
    try:
        return Manifest.load(dataset)
    except DatasetError as error:
        raise DataError(str(error)) from None


def train(config: Any, dataset: str, workdir: str, say: Callable[[str], None]) -> dict[str, Any]:
    """Trains a run, or goes on with it, and returns the content of report.json.

    Raises:
      UserError: of many kinds; OutputError where the disk is full.
      Diverged: the loss or a weight is no longer finite.
    """
    try:
        return _train(config, dataset, workdir, say)
    except (OSError, tf.errors.OpError) as error:
        words = full_disk(error)
        if words is None:
            raise
        raise OutputError(
            f"{words}: '{workdir}'; make room and run the same command: what was saved before is "
            "kept, and it goes on from there"
        ) from None


def _train(config: Any, dataset: str, workdir: str, say: Callable[[str], None]) -> dict[str, Any]:
    manifest = load_manifest(dataset)
    if config.task != manifest.task:
        raise ConfigError(f"task={config.task}, but '{dataset}' is for task={manifest.task}")
    for name in (config.data.train_split, *config.data.validation_splits):
        if name not in manifest.splits:
            raise ConfigError(
                f"no split '{name}' in '{dataset}', it has {', '.join(manifest.splits)}; give "
                "--config.data.validation_splits=NAME, or build with --validation_fraction=0.1"
            )
    chief = devices.is_chief()
    shared = RunDirectory(workdir)
    if chief:
        shared.make()
    goes_on = bool(Checkpoints(shared.checkpoints).states(LAST))
    if goes_on:
        before = shared.read_config()["config"]
        shared.check_same(differences(before, to_dict(config)), manifest.digest)
        how = before.get("distribute", {}).get("all_reduce", config.distribute.all_reduce)
        if how != config.distribute.all_reduce:
            say(
                f"warning: gradients were summed by {how} and are by "
                f"{config.distribute.all_reduce} now: the last bits of weights may differ"
            )
    strategy = devices.prepare(config, say)
    devices.check_replicas(config, strategy.num_replicas_in_sync)
    # Model and optimizer first: a name that does not exist is found before anything is read.
    # The state of a run that goes on brings the weights: where they came from may be gone by now.
    session = session_for(config, strategy, manifest, say, weights=not goes_on)
    build_optimizer(config.optimizer, total_steps=1)
    reader, validation = _open_readers(config, dataset, manifest)
    if chief:
        say(_opening(config, strategy, reader))
        return _train_session(session, reader, validation, manifest, shared, shared, dataset, say)
    # Measuring, saving and reporting take every worker's part in their collectives, so the others
    # do all of it too, but into a folder that goes away.
    with tempfile.TemporaryDirectory(prefix="worker-") as scratch:
        directory = RunDirectory(scratch)
        return _train_session(
            session, reader, validation, manifest, directory, shared, dataset, _say_nothing
        )


def _train_session(
    session: Session,
    reader: Reader,
    validation: dict[str, Reader],
    manifest: Manifest,
    directory: RunDirectory,
    shared: RunDirectory,
    dataset: str,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Trains and reports into `directory`; goes on from the states below `shared`."""
    config = session.config
    checkpoints = Checkpoints(shared.checkpoints, config.checkpoint.keep, directory.checkpoints)
    loop = Loop(session, reader, validation, manifest.classes, directory, checkpoints, say)
    # Only now: a run that could not even be built does not bind the next one to its mistakes.
    directory.write_config(
        {
            "config": to_dict(config),
            "versions": versions(),
            "dataset": {
                "path": os.path.abspath(dataset),
                "digest": manifest.digest,
                "task": manifest.task,
                "classes": list(manifest.classes),
                "height": manifest.image.height,
                "width": manifest.image.width,
                "resize_mode": manifest.image.resize_mode,
            },
        }
    )
    loop.restore()
    with TensorBoardLog(
        str(directory.tensorboard),
        resume_step=loop.step,
        histograms=config.tensorboard.histograms,
    ) as log:
        start_log(log, session, reader, loop.step)
        loop.run(log)
        return write_report(session, loop, reader, validation, manifest.classes, directory, log)


def _open_readers(
    config: Any, dataset: str, manifest: Manifest
) -> tuple[Reader, dict[str, Reader]]:
    """The readers of training and of each validation split, which share the memory there is."""
    reader = open_reader(dataset, manifest, config.data.train_split, config, training=True)
    reserved = getattr(reader, "table_bytes", 0)
    validation: dict[str, Reader] = {}
    for name in config.data.validation_splits:
        validation[name] = open_reader(
            dataset, manifest, name, config, training=False, reserved_bytes=reserved
        )
        reserved += getattr(validation[name], "table_bytes", 0)
    return reader, validation


def _say_nothing(message: str) -> None:
    """What workers other than the chief have to say the chief says too."""


def _opening(config: Any, strategy: Any, reader: Reader) -> str:
    table = getattr(reader, "table", None)
    return (
        f"{config.model.backbone} on {devices.describe(strategy)}: {reader.records} records, "
        f"{reader.steps_per_pass} steps a pass of {config.batch_size}"
        + (f", {reader.pictures_in_table} pictures {table} in memory" if table else "")  # type: ignore[union-attr]
    )
