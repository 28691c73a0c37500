"""open_dataset against the trainer's streamed reader, on the same pictures of classes.

    python -m tests.benchmarks.bench_loader [--sides=32,96,256] [--pictures=4096] [--json]

Batches of 64, one whole pass each, in turn after a turn that does not count: the streamed reader,
`numpy_batches()`, `tf_dataset()`. A figure is the median over the rounds, a ratio the median of
the rounds' ratios, by wall and by processor time.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import cv2
import numpy as np

from preprocess.dataset_format import Manifest
from tests.trainer import datasets
from trainer.config import Config, with_values
from trainer.data import open_dataset
from trainer.data.order import ReplicaSlice
from trainer.data.reader import open_reader

BATCH = 64
READER, ARRAYS, RING = "reader", "numpy_batches", "tf_dataset"


def make_dataset(folder: Path, side: int, pictures: int) -> str:
    """JPEGs of two classes, noise at a few scales, as a dataset directory."""
    for number in range(pictures):
        rng = np.random.default_rng(number)
        picture = np.full((side, side, 3), 128, np.float32)
        for cells, strength in ((3, 40), (max(4, side // 8), 25), (max(8, side // 2), 10)):
            coarse = rng.standard_normal((cells, cells, 3), dtype=np.float32)
            picture += strength * cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
        path = folder / "pictures" / "train" / "ab"[number % 2] / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.clip(picture, 0, 255).astype(np.uint8)
        cv2.imwrite(str(path), pixels, [cv2.IMWRITE_JPEG_QUALITY, 90])
    images = f"--images={folder / 'pictures'}"
    return datasets.build(folder / "dataset", "--source=folders", images, "--variants=1")


def rate(batches: Callable[[], Iterable[Any]]) -> tuple[float, float]:
    """Pictures a second of a pass, by wall and by processor time."""
    begun, begun_cpu = time.perf_counter(), time.process_time()
    count = sum(BATCH for _ in batches())
    return count / (time.perf_counter() - begun), count / (time.process_time() - begun_cpu)


def sides_of(dataset: str) -> dict[str, Callable[[], Iterable[Any]]]:
    """A pass by each of the readers."""
    values: dict[str, Any] = {
        "task": "classification",
        "batch_size": BATCH,
        "data.validation_splits": (),
    }
    reader = open_reader(
        dataset, Manifest.load(dataset), "train", with_values(Config(), values), training=True
    )
    loader = open_dataset(dataset, batch_size=BATCH)
    steps = loader.steps_per_pass
    return {
        READER: lambda: reader.dataset(0, ReplicaSlice(), steps),
        ARRAYS: lambda: open_dataset(dataset, batch_size=BATCH).numpy_batches(steps),
        RING: lambda: loader.tf_dataset(steps),
    }


def measure(folder: Path, side: int, pictures: int, rounds: int) -> dict[str, Any]:
    """Rates and ratios at one size of pictures."""
    with contextlib.redirect_stdout(sys.stderr):
        dataset = make_dataset(folder, side, pictures)
    sides = sides_of(dataset)
    found = []
    for _ in range(1 + rounds):
        found.append({name: rate(batches) for name, batches in sides.items()})
    del found[0]
    report: dict[str, Any] = {"side": side, "pictures": pictures}
    for at, suffix in enumerate(("", "_cpu")):
        for name in sides:
            report[name + suffix] = statistics.median(row[name][at] for row in found)
            ratios = [row[name][at] / row[READER][at] for row in found]
            report[f"{name}_ratio{suffix}"] = statistics.median(ratios)
    return report


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sides", default="32,96,256", help="of the pictures, pixels")
    parser.add_argument("--pictures", type=int, default=4096, help="in the data set")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    arguments = parser.parse_args()
    reports = []
    for side in map(int, arguments.sides.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            reports.append(measure(Path(folder), side, arguments.pictures, arguments.rounds))
    if arguments.json:
        print(json.dumps({"sides": reports}))
        return
    print("images/s by wall (by processor time), and against the streamed reader")
    for report in reports:
        for name in (READER, ARRAYS, RING):
            ratio, by_cpu = report[f"{name}_ratio"], report[f"{name}_ratio_cpu"]
            print(
                f"{report['side']:4d} px  {name:14s} {report[name]:8.0f} "
                f"({report[f'{name}_cpu']:6.0f})   {ratio:5.2f} x ({by_cpu:5.2f} x)"
            )


if __name__ == "__main__":
    main()
