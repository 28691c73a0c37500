"""What holds up a run outside of its steps, put in on purpose, each with the verdict it must get.

    python -m tests.trainer.run_causes CAUSE COMMAND ...

runs `python -m trainer COMMAND ...` with what the cause patches in its process; caused_runs.py adds
what lies outside of it: a control group, fewer cores, kills, a second worker. Costs are sleeps
where they can be, which take the same on a busy machine; each is a good deal more than the least
that a verdict names.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from preprocess.dataset_format import ImageKey
from preprocess.shell import cli
from tests.trainer import bottlenecks
from tests.trainer.bottlenecks import SMALL
from tests.trainer.control_groups import read_limit

IMPORT_SECONDS = 0.02  # of a module: some 2,500 are imported
FSYNC_SECONDS = 1.5  # a save makes several
VALIDATION_SECONDS = 4.0
CALLBACK_SECONDS = 4.0
TABLE_SECONDS, TABLE_PICTURES = 7.0, 22  # of a picture, and those that the table has
FEC_TABLE_SECONDS, FEC_VALIDATION_SECONDS, FEC_STEP_SECONDS = 3.6, 9.0, 0.4
COLD_SECONDS = 4.0  # of a picture, the first time
LEAKED_BYTES = 12 << 20  # a step


@dataclasses.dataclass(frozen=True)
class RunCause:
    """Something that holds up a run.

    Attributes:
      kind: of the verdict; "" = whatever its steps are.
      remedies: keys of `trainer.bottleneck.remedies.REMEDIES`, one of which the first advice must
        be; () where there is nothing to change.
      changes: of the configuration.
      inject: makes it slow, in the process.
      data: which dataset of tests/trainer/bottlenecks.py.
      cold: whether nothing of it is in memory when a run begins.
      replicas, workers: to train on, on this machine.
      cores: that its processes may run on; 0 = all.
      groups: files of control groups of its own, by controller; they need root.
      kills: SIGKILL after so many steps of each attempt.
      pause: seconds between two attempts, as in a queue.
      flags: further ones of an attempt, by its number from 0.
      or_kinds: other kinds that are right too, by how busy the machine is.
      said: what the verdict must say besides.
      unsaid: what the verdict must not say; "" = anything.
      followed: how the first advice is followed: by its "flags", the "quota" it names, or not.
    """

    kind: str
    remedies: tuple[str, ...]
    changes: Mapping[str, Any]
    inject: Callable[[Any], None] = lambda _: None
    data: str = "classes"
    cold: bool = False
    replicas: int = 1
    workers: int = 1
    cores: int = 0
    groups: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)
    kills: tuple[int, ...] = ()
    pause: float = 0.0
    flags: Mapping[int, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    or_kinds: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    unsaid: str = ""
    followed: str = ""


def slow_imports(patch: Any) -> None:
    """Python packages in a slow network folder."""

    class Slow:
        @staticmethod
        def find_spec(*_: Any) -> None:
            time.sleep(IMPORT_SECONDS)

    patch.setattr(sys, "meta_path", [Slow(), *sys.meta_path])


def slow_disk(patch: Any) -> None:
    """Storage whose fsync takes long."""
    fsync = os.fsync

    def slowly(descriptor: int) -> None:
        time.sleep(FSYNC_SECONDS)
        fsync(descriptor)

    patch.setattr(os, "fsync", slowly)
    bottlenecks.slow_step(patch)


def slow_validation(patch: Any) -> None:
    from trainer.training.evaluation import Evaluator

    outputs = Evaluator.outputs

    def slowly(self: Any, *arguments: Any, **named: Any) -> Any:
        time.sleep(VALIDATION_SECONDS)
        return outputs(self, *arguments, **named)

    patch.setattr(Evaluator, "outputs", slowly)
    bottlenecks.slow_step(patch)


def slow_callback(patch: Any) -> None:
    """Event files in a slow folder."""
    from trainer.monitoring.tensorboard_log import TensorBoardLog

    epoch = TensorBoardLog.epoch

    def slowly(self: Any, *arguments: Any, **named: Any) -> None:
        time.sleep(CALLBACK_SECONDS)
        epoch(self, *arguments, **named)

    patch.setattr(TensorBoardLog, "epoch", slowly)
    bottlenecks.slow_step(patch)


def slow_table(patch: Any) -> None:
    """Decoding that takes long, for as many pictures as the table has."""
    import tensorflow as tf

    from trainer.data.decoding import Decoder

    decode, left = Decoder.decode, iter(range(TABLE_PICTURES))

    def sleep(encoded: Any) -> Any:
        if next(left, None) is not None:
            time.sleep(TABLE_SECONDS)
        return encoded

    def slowly(self: Any, features: dict[str, Any]) -> Any:
        encoded = tf.numpy_function(sleep, [features[ImageKey.ENCODED]], tf.string)
        return decode(self, {**features, ImageKey.ENCODED: tf.ensure_shape(encoded, [])})

    patch.setattr(Decoder, "decode", slowly)


def fec_size(patch: Any) -> None:
    """The times of 100 steps on the pictures of FEC: no part of them is large alone."""
    patch.setitem(globals(), "TABLE_SECONDS", FEC_TABLE_SECONDS)
    patch.setitem(globals(), "VALIDATION_SECONDS", FEC_VALIDATION_SECONDS)
    patch.setattr(bottlenecks, "STEP_SECONDS", FEC_STEP_SECONDS)
    slow_table(patch)
    slow_validation(patch)  # and the steps


def cold_storage(patch: Any) -> None:
    """Each picture is slow to read the first time, and then is in the page cache."""
    from trainer.data.records import StoredPictures

    payload, warm = StoredPictures.payload, set()

    def slowly(self: Any, *place: Any) -> bytes:
        if place not in warm:
            time.sleep(COLD_SECONDS)
            warm.add(place)
        return payload(self, *place)

    patch.setattr(StoredPictures, "payload", slowly)
    bottlenecks.slow_step(patch)


def leak(patch: Any) -> None:
    """Memory that is not given back, so that a limit kills every attempt after a while."""
    from trainer.training.progress import ProgressFile

    update, kept = ProgressFile.update, []

    def leaking(self: Any, *arguments: Any, **named: Any) -> None:
        kept.append(b"\1" * LEAKED_BYTES)
        update(self, *arguments, **named)

    patch.setattr(ProgressFile, "update", leaking)
    bottlenecks.slow_step(patch)


# Steps of 30 ms, so that their share is known; the trace is the one that every run takes.
STEPS = {**SMALL, "profile.steps": (10, 20)}
# Real work, a step of which keeps all cores busy.
WORK = {**STEPS, "model__backbone": "cnn", "image_size": 96, "batch_size": 16, "epochs": 3}

RUN_CAUSES = {
    "slow saves": RunCause(
        "saving",
        ("save_less",),
        {**STEPS, "epochs": 1, "steps_per_epoch": 400, "checkpoint.every_steps": 20},
        slow_disk,
        followed="flags",
    ),
    "cpu quota": RunCause(
        "throttled",
        ("cpu_limit",),
        {**WORK, "steps_per_epoch": 40},
        groups={"cpu": {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "50000"}},
        followed="quota",
    ),
    "slow validation": RunCause(
        "validation",
        ("validate_less",),
        {**STEPS, "epochs": 12, "steps_per_epoch": 40},
        slow_validation,
        followed="flags",
    ),
    "slow start": RunCause(
        "start", ("beside_start",), {**STEPS, "epochs": 2, "steps_per_epoch": 100}, slow_imports
    ),
    "two replicas on one core": RunCause(
        "oversubscribed", ("fewer_replicas",), {**WORK, "steps_per_epoch": 30}, replicas=2, cores=1
    ),
    "killed for memory": RunCause(
        "memory",
        ("more_memory",),
        {**STEPS, "epochs": 1, "steps_per_epoch": 300, "checkpoint.every_steps": 20},
        leak,
        groups={"memory": {"memory.limit_in_bytes": str(1200 << 20)}},
    ),
    "dropped from memory": RunCause(
        "memory",
        ("keep_files",),
        {**STEPS, "epochs": 3, "steps_per_epoch": 0, "batch_size": 16},
        bottlenecks.slow_step,
        data="more than memory",
        cold=True,
        groups={
            "memory": {"memory.limit_in_bytes": str(1400 << 20)},
            "blkio": read_limit(tempfile.gettempdir(), 20 << 20),
        },
    ),
    "two workers on one core": RunCause(
        "oversubscribed",
        ("fewer_workers",),
        {**WORK, "steps_per_epoch": 30},
        workers=2,
        cores=1,
        unsaid="Other processes",
    ),
    "slow table": RunCause(
        "table",
        ("beside_table",),
        {"model__backbone": "mlp", "augment__enabled": False, "data__variants": 1, "epochs": 2}
        | {"data__validation_splits": (), "steps_per_epoch": 40, "profile.steps": (10, 20)},
        slow_table,
        data="triplets",
    ),
    "FEC size, 100 steps": RunCause(
        "table",
        ("beside_table", "beside_start"),
        {"model__backbone": "mlp", "augment__enabled": False, "data__variants": 1, "epochs": 1}
        | {"steps_per_epoch": 100, "profile.steps": (10, 20)},
        fec_size,
        data="triplets",
        or_kinds=("start",),
        said=("starting", "image table", "validation"),
    ),
    "restarts": RunCause(
        "restarts",
        ("save_more",),
        {**STEPS, "epochs": 1, "steps_per_epoch": 350, "data.log_records": True},
        bottlenecks.slow_step,
        kills=(250, 250, 250),
        pause=4.0,
        flags={1: ("--config.virtual_replicas=2",)},
    ),
    "slow callback": RunCause(
        "overhead",
        ("beside_callbacks",),
        {**STEPS, "epochs": 12, "steps_per_epoch": 40},
        slow_callback,
    ),
    "cold first pass": RunCause(
        "input",
        ("cold_pass",),
        {**STEPS, "epochs": 6, "steps_per_epoch": 60},
        cold_storage,
    ),
    "two workers on two cores": RunCause(
        "",
        (),
        {**WORK, "steps_per_epoch": 30},
        workers=2,
        cores=2,
        unsaid="Other processes",
    ),
}


def main() -> None:
    """A command of the trainer with a cause in its process."""
    name, *arguments = sys.argv[1:]
    sys.argv[1:] = arguments
    RUN_CAUSES[name].inject(pytest.MonkeyPatch())
    from trainer.__main__ import COMMANDS, config_as_flags

    cli.run("trainer", "", COMMANDS, config_as_flags)


if __name__ == "__main__":
    main()
