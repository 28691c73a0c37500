"""`trainer train` from its parts: dataset, session, loop, report."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from preprocess.dataset_format import DatasetError, Manifest
from trainer import devices
from trainer.checkpoints import LAST, Checkpoints
from trainer.config import differences, to_dict
from trainer.errors import ConfigError, DataError
from trainer.loop import Loop
from trainer.reader import Reader, open_reader
from trainer.reporting import write_report
from trainer.run_directory import RunDirectory, versions
from trainer.session import session_for


def load_manifest(dataset: str) -> Manifest:
    """The manifest of a dataset directory; raises DataError where there is none."""
    try:
        return Manifest.load(dataset)
    except DatasetError as error:
        raise DataError(str(error)) from None


def train(config: Any, dataset: str, workdir: str, say: Callable[[str], None]) -> dict[str, Any]:
    """Trains a run, or goes on with it, and returns the content of report.json."""
    manifest = load_manifest(dataset)
    if config.task != manifest.task:
        raise ConfigError(f"task={config.task}, but '{dataset}' is for task={manifest.task}")
    for name in (config.data.train_split, *config.data.validation_splits):
        if name not in manifest.splits:
            raise ConfigError(
                f"no split '{name}' in '{dataset}', it has {', '.join(manifest.splits)}; set "
                "data.train_split and data.validation_splits"
            )
    directory = RunDirectory(workdir)
    directory.make()
    if Checkpoints(directory.checkpoints).states(LAST):
        before = directory.read_config()["config"]
        directory.check_same(differences(before, to_dict(config)), manifest.digest)
    strategy = devices.prepare(config, say)
    reader = open_reader(dataset, manifest, config.data.train_split, config, training=True)
    validation = {
        name: open_reader(dataset, manifest, name, config, training=False)
        for name in config.data.validation_splits
    }
    session = session_for(config, strategy, manifest)
    say(_opening(config, strategy, reader))
    loop = Loop(session, reader, validation, manifest.classes, directory, say)
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
    loop.run()
    return write_report(session, loop, reader, validation, manifest.classes, directory)


def _opening(config: Any, strategy: Any, reader: Reader) -> str:
    table = getattr(reader, "table", None)
    return (
        f"{config.model.backbone} on {devices.describe(strategy)}: {reader.records} records, "
        f"{reader.steps_per_pass} steps a pass of {config.batch_size}"
        + (f", {reader.pictures_in_table} pictures {table} in memory" if table else "")  # type: ignore[union-attr]
    )
