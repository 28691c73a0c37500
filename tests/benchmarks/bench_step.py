"""A training step in our loop against a bare tf.function loop: same model, batch, optimizer.

    python -m tests.benchmarks.bench_step [--steps=200] [--rounds=5] [--json]

One batch stays in memory, so input is not the limit. Ours is training/loop.py as `trainer
train` runs it: keyed random numbers, sums of the metrics, clock, progress bar, profiler hooks,
the look for NaN, early stopping and plateau, and at the end of each epoch of `--steps` steps
its row, its two saved states and its TensorBoard scalars. The other side is what one would
write by hand: forward, loss, gradient, apply, in a tf.function called from Python, with the
same layers and draws. `epoch` is the whole of ours, `step` without the end of the epoch.

    cnn      64 triplets of 48x48 through the small network, flip and cutout on the device
    digits   1,024 pictures of 28x28 through 500-500-10: a short step, where Python's share is
             large; also with 10 steps a call on both sides

and `cnn` with a state saved every 20 steps, where the bare loop saves nothing.

Sides in turn, A B A B, after a turn that does not count; a figure is the median over the rounds,
a ratio (bare time over ours: 1 = as fast) the median of the rounds' ratios. `cpu` is the ratio
of processor times, which says more on a machine that others use.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from preprocess.dataset_format import CLASSIFICATION, TRIPLET
from trainer.config import Config, check_config, with_values
from trainer.models.randomness import keyed
from trainer.monitoring.tensorboard_log import TensorBoardLog
from trainer.training.checkpoints import Checkpoints
from trainer.training.loop import Loop
from trainer.training.run_directory import RunDirectory
from trainer.training.session import Session, build_session
from trainer.training.training_run import Run, unwatched
from trainer.workers import devices
from trainer.workers.signals import StopSignals
from trainer.workers.worker_group import ALONE

BAR = 0.97
CASES: dict[str, dict[str, Any]] = {
    "cnn": {
        "task": TRIPLET,
        "batch_size": 64,
        "image_size": 48,
        "model.backbone": "cnn",
        "model.embedding_size": 16,
        "augment.enabled": True,
        "augment.flip": True,
        "augment.cutout": 12,
    },
    "digits": {
        "task": CLASSIFICATION,
        "batch_size": 1024,
        "image_size": 28,
        "model.backbone": "mlp",
        "model.channels": 1,
        "model.dropout": 0.0,
        "optimizer.name": "adam",
    },
}
CASES["digits, 10 a call"] = {**CASES["digits"], "steps_per_execution": 10}
CASES["cnn, a save every 20"] = {**CASES["cnn"], "checkpoint.every_steps": 20}


class ResidentReader:
    """Gives one batch for ever, as a reader of shards would give many."""

    error = None
    directory = ""
    redecodes = False

    def __init__(self, config: Any, steps: int) -> None:
        self.batch_size, self.steps_per_pass = config.batch_size, steps
        self.pictures_a_record = 3 if config.task == TRIPLET else 1
        self.batch = _batch(config)

    def dataset(self, first_step: int, replicas: Any, steps: int | None = None) -> Any:
        """Batches, without end; nothing is copied."""
        del first_step, replicas, steps
        return tf.data.Dataset.from_tensors(self.batch).cache().repeat().prefetch(4)


def _batch(config: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    rows, side, channels = config.batch_size, config.image_size, config.model.channels
    triplets = config.task == TRIPLET
    shape = (rows, 3, side, side, channels) if triplets else (rows, side, side, channels)
    batch = {
        "image": rng.integers(0, 256, shape).astype(np.uint8),
        "weight": np.ones(rows, np.float32),
        "share": np.full(rows, 1 / rows, np.float32),
        "row": np.arange(rows, dtype=np.int32),
        "record": np.arange(rows),
    }
    if triplets:
        batch["votes"] = np.tile(np.array([0.7, 0.2, 0.1], np.float32), (rows, 1))
    else:
        batch["label"] = rng.integers(0, 10, rows)
    return {name: tf.constant(value) for name, value in batch.items()}


def configured(changes: dict[str, Any], steps: int) -> Config:
    """The configuration of a case, of one epoch at a time."""
    fixed: dict[str, Any] = {
        "steps_per_epoch": steps,
        "epochs": 1000,
        "profile.steps": (),
        "tensorboard.histograms": False,
        "data.validation_splits": (),
        "early_stopping.patience": 1000,
        "reduce_on_plateau.patience": 1000,
    }
    config = with_values(Config(), {**fixed, **changes})
    check_config(config)
    return config


def _silent(message: str) -> None:
    """Says nothing."""


class Ours:
    """The loop of a run that goes on by an epoch at each call."""

    def __init__(self, session: Session, reader: ResidentReader, folder: Path) -> None:
        directory = RunDirectory(str(folder))
        directory.make()
        self._run = Run(
            session=session,
            reader=reader,  # type: ignore[arg-type]
            workers=ALONE,
            signals=StopSignals(_silent),
            monitors=unwatched(_silent),
            validation={},
            sets=(),
            directory=directory,
            checkpoints=Checkpoints(directory.checkpoints),
            say=_silent,
        )
        self._loop = Loop(self._run)
        self._log = TensorBoardLog(str(directory.tensorboard), histograms=False)

    def __call__(self) -> tuple[float, float, float]:
        """Seconds of an epoch's steps by wall and processor time, and of the whole epoch."""
        with self._run.signals:
            begun, begun_cpu = time.perf_counter(), time.process_time()
            self._loop._run_steps()
            steps, steps_cpu = time.perf_counter() - begun, time.process_time() - begun_cpu
            self._loop._finish_epoch(self._log)
            return steps, steps_cpu, time.perf_counter() - begun


def bare_loop(session: Session, reader: ResidentReader, steps: int) -> Callable[[], Any]:
    """The same training by hand.

    Returns a function that gives the seconds of `steps` steps, by wall and by processor time.
    """
    config, task, model = session.config, session.task, session.model
    optimizer, at_once = model.optimizer, config.steps_per_execution

    def one(batch: dict[str, Any]) -> Any:
        with keyed(config.seed, optimizer.iterations, batch["row"], config.batch_size):
            with tf.GradientTape() as tape:
                outputs = task.outputs(
                    model, session.augmentation, batch["image"], training=True, augment=True
                )
                loss = tf.reduce_mean(task.loss(outputs, batch))
            gradients = tape.gradient(loss, model.trainable_variables)
            optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    @tf.function
    def call(batches: Any) -> Any:
        loss = tf.zeros([])
        for _ in tf.range(at_once):
            loss = one(next(batches))
        return loss

    single = tf.function(one)
    batches = iter(reader.dataset(0, None))

    def seconds() -> tuple[float, float]:
        begun, begun_cpu = time.perf_counter(), time.process_time()
        for _ in range(steps // at_once):
            loss = call(batches) if at_once > 1 else single(next(batches))
        loss.numpy()  # the last step is over
        return time.perf_counter() - begun, time.process_time() - begun_cpu

    return seconds


def measure_case(changes: dict[str, Any], steps: int, rounds: int, folder: Path) -> dict[str, Any]:
    """Milliseconds a step of each side, and ratios."""
    config = configured(changes, steps)
    strategy = devices.prepare(config, lambda _: None)
    reader = ResidentReader(config, steps)
    session = build_session(config, strategy, config.task, [str(digit) for digit in range(10)])
    ours = Ours(session, reader, folder)
    bare = bare_loop(session, reader, steps)
    ours(), bare()  # tracing is nobody's time
    turns = [(*ours(), *bare()) for _ in range(rounds)]

    def median(of: Callable[..., float]) -> float:
        return statistics.median(of(*turn) for turn in turns)

    return {
        "step_ms": 1000 / steps * median(lambda step, cpu, epoch, bare, bare_cpu: step),
        "epoch_ms_a_step": 1000 / steps * median(lambda step, cpu, epoch, bare, bare_cpu: epoch),
        "bare_ms": 1000 / steps * median(lambda step, cpu, epoch, bare, bare_cpu: bare),
        "ratio": median(lambda step, cpu, epoch, bare, bare_cpu: bare / step),
        "ratio_cpu": median(lambda step, cpu, epoch, bare, bare_cpu: bare_cpu / cpu),
        "ratio_epoch": median(lambda step, cpu, epoch, bare, bare_cpu: bare / epoch),
    }


def main() -> None:
    """Measures and prints: a table, or one JSON object with --json; 1 below the bar."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=200, help="of an epoch, a multiple of 10")
    parser.add_argument("--rounds", type=int, default=5, help="epochs of each side")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    arguments = parser.parse_args()
    report: dict[str, Any] = {"steps": arguments.steps, "bar": BAR}
    with tempfile.TemporaryDirectory() as folder:
        for name, changes in CASES.items():
            run = Path(folder, name)
            report[name] = measure_case(changes, arguments.steps, arguments.rounds, run)
    report["ok"] = all(report[name]["ratio"] >= BAR for name in CASES)
    if arguments.json:
        print(json.dumps(report))
    else:
        title = f"epochs of {arguments.steps} steps, bar {BAR:g}"
        print(f"{title:38s}     step      bare   ratio     cpu   epoch")
        for name in CASES:
            row = report[name]
            print(
                f"  {name:36s} {row['step_ms']:6.1f}ms {row['bare_ms']:6.1f}ms "
                f"{row['ratio']:7.3f} {row['ratio_cpu']:7.3f} {row['ratio_epoch']:7.3f}"
            )
    sys.exit(0 if report["ok"] else 1)


if __name__ == "__main__":
    main()
