"""`trainer train` from its parts: dataset, session, loop, report."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

from preprocess.dataset_format import Manifest
from trainer import devices
from trainer.checkpoints import LAST, Checkpoints
from trainer.config import differences, to_dict
from trainer.errors import ConfigError
from trainer.loop import Loop
from trainer.optimizers import build_optimizer
from trainer.reader import Reader, open_reader
from trainer.reader.service import GUARANTEE as SERVICE_GUARANTEE
from trainer.reader.storage import absolute, read_manifest
from trainer.reporting import start_log, write_report
from trainer.run_directory import RunDirectory, versions
from trainer.session import Session, session_for
from trainer.tensorboard import TensorBoardLog


def load_manifest(dataset: str) -> Manifest:
    """The manifest of a dataset directory or address; raises as read_manifest() does."""
    return read_manifest(dataset)


def train(config: Any, dataset: str, workdir: str, say: Callable[[str], None]) -> dict[str, Any]:
    """Trains a run, or goes on with it, and returns the content of report.json."""
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
    if Checkpoints(shared.checkpoints).states(LAST):
        before = shared.read_config()["config"]
        shared.check_same(differences(before, to_dict(config)), manifest.digest)
    strategy = devices.prepare(config, say)
    devices.check_replicas(config, strategy.num_replicas_in_sync)
    # Model and optimizer first: a name that does not exist is found before anything is read.
    session = session_for(config, strategy, manifest)
    build_optimizer(config.optimizer, total_steps=1)
    reader, validation = _open_readers(config, dataset, manifest)
    if chief:
        say(_opening(config, strategy, reader))
        return _train(session, reader, validation, manifest, shared, shared, dataset, say)
    # Measuring, saving and reporting take every worker's part in their collectives, so the others
    # do all of it too, but into a folder that goes away.
    with tempfile.TemporaryDirectory(prefix="worker-") as scratch:
        directory = RunDirectory(scratch)
        return _train(
            session, reader, validation, manifest, directory, shared, dataset, _say_nothing
        )


def _train(
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
                "path": absolute(dataset),
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
        + (f"; {SERVICE_GUARANTEE.format(config.data.service)}" if config.data.service else "")
    )
