"""MNIST as the course has it: the spread of seeded runs, and what averaging them brings.

    python -m preprocess build --source=idx --images=MNIST --variants=1 --output=DATASET
    python -m tests.benchmarks.bench_mnist --data=DATASET [--runs=50] [--output=DIR] [--json]

Trains the preset `mnist_mlp` with the seeds 0, 1, ... as `trainer train` does, then measures each
run, and the average of their logits and of their probabilities, on the test split as `trainer
evaluate` does, with --halves: the first and the second 5,000 pictures, which come from different
writers, and halves by chance, by one of which a run is chosen. How the curves of the runs correlate
is shown as well. With --output the run directories stay, and a second call goes on from them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

from trainer.config import load_config
from trainer.data.dataset import load_manifest
from trainer.data.reader import open_reader
from trainer.inference.halves import HASH, ORDER, compare_halves, halves_in_words, in_first_half
from trainer.inference.trained_run import open_runs
from trainer.report.run_curves import correlations_in_words, curve_correlations
from trainer.train import train
from trainer.training.evaluation import Evaluator, figures
from trainer.training.recorded_curves import recorded_curves

# What the project promises.
MEDIAN_BAR = (0.978, 0.982)
AVERAGE_BAR = 0.983


def say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def say_nothing(message: str) -> None:
    """Fifty runs would say five hundred lines."""


def train_runs(data: str, root: Path, runs: int) -> list[str]:
    """Trains, or goes on with, run directories root/seed-NN; returns them."""
    workdirs = []
    for seed in range(runs):
        config = load_config("mnist_mlp", [("seed", str(seed)), ("profile.steps", "")])
        workdirs.append(str(root / f"seed-{seed:02d}"))
        report = train(config, data, workdirs[-1], say_nothing)
        accuracy = report["metrics"]["last"]["val_accuracy"]
        say(f"seed {seed}: {accuracy:.4f} after {report['steps']} steps")
        tf.keras.backend.clear_session()
    return workdirs


def measure(data: str, root: Path, runs: int) -> dict[str, Any]:
    """Accuracies of every run and of the averages, with 95 % intervals."""
    workdirs = train_runs(data, root, runs)
    manifest = load_manifest(data)
    outputs, alone, halves = [], [], {}
    for workdir in workdirs:
        (run,) = open_runs([workdir], "last", say)
        reader = open_reader(data, manifest, "test", run.session.config, training=False)
        outputs.append(Evaluator(run.session, reader).outputs())
        task = run.session.task
        alone.append(figures(task, outputs[-1])["accuracy"])
        if len(outputs) == runs:
            averages = {
                how: figures(task, task.average(outputs, how))
                for how in ("logits", "probabilities")
            }
            named = dict(zip((Path(each).name for each in workdirs), outputs, strict=True))
            average, ids = task.average(outputs, "logits"), reader.ids()
            for how in (HASH, ORDER):
                first = in_first_half(reader.id_columns, ids, how)
                halves[how] = compare_halves(task, average, named, first, how)
        tf.keras.backend.clear_session()
    median = statistics.median(alone)
    report: dict[str, Any] = {
        "runs": runs,
        "accuracies": alone,
        "median": median,
        "median_bar": MEDIAN_BAR,
        "average_bar": AVERAGE_BAR,
    }
    report["halves"] = halves
    report["median_difference"] = {
        how: statistics.median(row["b"] - row["a"] for row in found["runs"])
        for how, found in halves.items()
        if found["runs"]
    }
    curves = recorded_curves(workdirs, "val_accuracy")
    report["curves"] = curve_correlations(curves, "val_accuracy")
    for how, found in averages.items():
        report[how] = found["accuracy"]
        report[f"{how}_interval"] = found["interval"]
    report["ok"] = MEDIAN_BAR[0] <= median <= MEDIAN_BAR[1] and all(
        report[how] > AVERAGE_BAR for how in averages
    )
    return report


def main() -> None:
    """Measure and print: a table, or one JSON object with --json."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", required=True, help="dataset directory of MNIST")
    parser.add_argument("--runs", type=int, default=50, help="seeds")
    parser.add_argument("--output", default="", help="where the runs stay; a passing folder")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as passing:
        root = Path(arguments.output or passing)
        report = measure(arguments.data, root, arguments.runs)
    if arguments.json:
        print(json.dumps(report))
        return
    low, high = min(report["accuracies"]), max(report["accuracies"])
    print(
        f"{report['runs']} runs: median {report['median']:.4f} ({low:.4f} to {high:.4f}), "
        f"bar {MEDIAN_BAR[0]} to {MEDIAN_BAR[1]}"
    )
    for how in ("logits", "probabilities"):
        bottom, top = report[f"{how}_interval"]
        print(
            f"average of {how:14s} {report[how]:.4f}, 95 % interval [{bottom:.4f}, {top:.4f}], "
            f"bar {AVERAGE_BAR}"
        )
    for found in report["halves"].values():
        words = halves_in_words(found)
        # Of the average, then what choosing a run is worth; not a line for each run.
        print("\n".join([f"average of logits, {words[0]}", *words[1:][-2:]]))
    for how, difference in report["median_difference"].items():
        print(f"halves by {how}: the median over the runs of their difference {difference:+.4f}")
    if about_curves := correlations_in_words(report["curves"]):
        print(about_curves)


if __name__ == "__main__":
    main()
