"""A whole pass of training over faces: the decoded table against plain per-file tf.data.

    python -m tests.benchmarks.bench_pass [--pictures=6000] [--rounds=3] [--json]

Each picture of 112x112 stands in nine triplets; a step trains the dense network on 64 triplets
at 16x16, which a processor does about as fast as a GPU does a real one, so that input matters.
Both sides run the same training step, made once, over every triplet of the pass:

* ours reads shards into the pass's table, building it included, gathers, and resizes on the
  device;
* the other side reads and decodes the three files of each triplet in a map with AUTOTUNE and
  resizes them there (`plain`), or leaves that to the device too (`plain_unresized`).

Sides in turn after a turn that does not count. Figures are seconds of a pass, medians over the
rounds; ratios are medians of the rounds' ratios (the other side's time over ours), by wall time
and by processor time, which says more on a machine that others use.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

# First: it sets what TensorFlow reads when it is imported.
from tests.benchmarks.bench_reader import BATCH, make_dataset, plain_pipeline, run

import numpy as np  # isort: skip
import tensorflow as tf  # isort: skip

from preprocess.dataset_format import TRIPLET, Manifest
from trainer.config.keys import Config
from trainer.config.learning_sections import ModelConfig
from trainer.data.order import ReplicaSlice
from trainer.data.reader import TripletReader
from trainer.training.session import add_optimizer, build_session
from trainer.training.step_functions import train_functions
from trainer.workers import devices

SIDE = 16  # in front of the network
BAR = 1.5  # against the pipeline without its resize


def configured() -> Config:
    """The dense network on small pictures, nothing else."""
    model = ModelConfig(backbone="mlp", embedding_size=16)
    return Config(batch_size=BATCH, image_size=SIDE, model=model)


def plain_batches(folder: Path, rows: list[list[str]], resize: bool) -> Any:
    """Batches of plain_pipeline() with what a training step needs beside the pictures."""
    extra = {
        "votes": np.tile(np.array([0.7, 0.2, 0.1], np.float32), (BATCH, 1)),
        "weight": np.ones(BATCH, np.float32),
        "share": np.full(BATCH, 1 / BATCH, np.float32),
        "row": np.arange(BATCH, dtype=np.int32),
        "record": np.arange(BATCH),
    }
    constants = {name: tf.constant(value) for name, value in extra.items()}
    pictures = plain_pipeline(folder, rows, resize=SIDE if resize else 0)
    return pictures.map(lambda image: {"image": image, **constants})


def seconds_of(step: Callable[[Any], Any], batches: Iterable[Any]) -> tuple[float, float, int]:
    """Seconds of a pass by wall and by processor time, and its steps."""
    begun, begun_cpu, steps, sums = time.perf_counter(), time.process_time(), 0, None
    for batch in batches:
        sums, _ = step(batch)
        steps += 1
    np.asarray(sums)  # the last step is over
    return time.perf_counter() - begun, time.process_time() - begun_cpu, steps


def measure(folder: Path, pictures: int, rounds: int) -> dict[str, Any]:
    """Seconds of a pass on each side, and their ratios."""
    with contextlib.redirect_stdout(sys.stderr):
        dataset, rows = make_dataset(folder, pictures)
    config = configured()
    strategy = devices.prepare(config, lambda _: None)
    session = build_session(config, strategy, TRIPLET)
    add_optimizer(session, 1)
    step, _ = train_functions(session)

    def table() -> Any:
        reader = TripletReader(dataset, Manifest.load(dataset), "train", config, training=True)
        assert reader.table == "decoded"
        return reader.dataset(0, ReplicaSlice(), reader.steps_per_pass)

    sides: dict[str, Callable[[], Any]] = {
        "table": table,
        "plain": lambda: plain_batches(folder, rows, resize=True),
        "plain_unresized": lambda: plain_batches(folder, rows, resize=False),
    }
    turns: list[dict[str, float]] = []
    steps = 0
    for _ in range(1 + rounds):
        turn = {}
        for name, make in sides.items():
            turn[name], turn[f"{name}_cpu"], steps = seconds_of(step, make())
        turns.append(turn)
    del turns[0]  # tracing, and the system's file cache at its first use
    report: dict[str, Any] = {
        name: statistics.median(turn[name] for turn in turns) for name in turns[0]
    }
    for name in ("plain", "plain_unresized"):
        for clock in ("", "_cpu"):
            report[f"ratio_{name}{clock}"] = statistics.median(
                turn[name + clock] / turn[f"table{clock}"] for turn in turns
            )
    report.update(pictures=pictures, triplets=len(rows), steps=steps, rounds=rounds, bar=BAR)
    report["ok"] = report["ratio_plain_unresized"] >= BAR
    return report


def show(report: dict[str, Any]) -> None:
    """Prints seconds of a pass of each side, and their ratios."""
    print(f"training pass over {report['triplets']} triplets in steps of {BATCH}, {SIDE}x{SIDE}")
    print(
        f"  decoded table, its building included   {report['table']:6.1f} s"
        f"             of processor time {report['table_cpu']:6.1f} s"
    )
    for name, label in (("plain", "read, decode, resize"), ("plain_unresized", "read, decode")):
        print(
            f"  {label:38s} {report[name]:6.1f} s   {report[f'ratio_{name}']:5.2f} x"
            f"   by processor time {report[f'ratio_{name}_cpu']:5.2f} x"
        )


if __name__ == "__main__":
    run(__doc__, 6_000, measure, show)
