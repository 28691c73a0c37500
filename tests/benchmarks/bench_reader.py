"""The triplet reader against a plain tf.data pipeline, on the same pictures.

    python -m tests.benchmarks.bench_reader [--pictures=12000] [--rounds=3] [--json]

Ours is `trainer.data.reader.TripletReader` over a dataset directory: one whole pass, building its
table of pictures included, each picture used nine times. The other side reads, decodes and
resizes (to 160x160) the three files of each triplet in a map with AUTOTUNE, batches and
prefetches; it is also measured without its resize, which ours leaves to the device. The other
side is steady after its first batches, so a part of its pass is measured.

Sides in turn after a turn that does not count; a figure is the median over the rounds, a ratio
the median of the rounds' ratios. Figures are images per second of wall time, all cores; the
ratio by processor time is there too, which says more on a machine that others use.
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
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import cv2
import numpy as np
import tensorflow as tf

from preprocess.build.build_request import BuildRequest
from preprocess.build.builder import build
from preprocess.dataset_format import Manifest
from preprocess.sources.rows import Request
from trainer.config import Config
from trainer.data.order import ReplicaSlice
from trainer.data.reader import TripletReader

BATCH, SIDE, RESIZED = 64, 112, 160
USES = 9  # of a picture in a pass, as in the published table
PLAIN_STEPS = 150  # of the other side's pass
WARM_UP_STEPS = 10
BAR = 8.0  # against the pipeline with its resize


def write_pictures(folder: Path, count: int) -> list[str]:
    """`count` JPEG files of SIDE x SIDE, noise at a few scales; returns their ids."""
    folder.mkdir(parents=True)
    ids = []
    for number in range(count):
        rng = np.random.default_rng(number)
        picture = np.full((SIDE, SIDE, 3), 128, np.float32)
        for cells, strength in ((3, 40), (14, 25), (56, 10)):
            coarse = rng.standard_normal((cells, cells, 3), dtype=np.float32)
            picture += strength * cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        ids.append(f"{number:06d}")
        pixels = np.clip(picture, 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{ids[-1]}.jpg"), pixels, [cv2.IMWRITE_JPEG_QUALITY, 90])
    return ids


def write_triplets(path: Path, ids: list[str]) -> list[list[str]]:
    """A table in which each picture stands USES times; returns its rows' ids."""
    rng = np.random.default_rng(0)
    # Groups of three from permutations: no picture twice in a row of the table.
    rows = [
        [ids[i] for i in three]
        for _ in range(USES)
        for three in rng.permutation(len(ids))[: len(ids) // 3 * 3].reshape(-1, 3)
    ]
    header = "face1,face2,face3,votes1,votes2,votes3,triplet_type,subset"
    lines = [f"{','.join(row)},0.7,0.2,0.1,TWO_CLASS,train" for row in rows]
    path.write_text("\n".join([header, *lines, ""]), encoding="utf-8")
    return rows


def make_dataset(folder: Path, pictures: int) -> tuple[str, list[list[str]]]:
    """The pictures, the table and the dataset directory made of them."""
    ids = write_pictures(folder / "pictures", pictures)
    rows = write_triplets(folder / "labels.csv", ids)
    output = str(folder / "dataset")
    build(
        BuildRequest(
            kind="fec",
            source=Request(
                csv=str(folder / "labels.csv"),
                images=str(folder / "pictures"),
            ),
            output=output,
            variants=1,
            recipe="",
            seed=0,
            image_size=0,
            resize_mode="stretch",
            encoding="",
            quality=95,
            shards=0,
            max_bad_fraction=0.0,
            workers=0,
            overwrite=False,
        )
    )
    return output, rows


def our_pass(dataset: str) -> dict[str, float]:
    """Images a second of a whole pass, the table included, and of the gather alone."""
    config = Config(batch_size=BATCH)
    reader = TripletReader(dataset, Manifest.load(dataset), "train", config, training=True)
    begun, begun_cpu = time.perf_counter(), time.process_time()
    batches = iter(reader.dataset(0, ReplicaSlice(), reader.steps_per_pass))
    for _ in range(WARM_UP_STEPS):
        next(batches)
    filled = time.perf_counter()
    steps = sum(1 for _ in batches)
    ended, ended_cpu = time.perf_counter(), time.process_time()
    assert WARM_UP_STEPS + steps == reader.steps_per_pass
    assert reader.table == "decoded"
    return {
        "ours": 3 * reader.records / (ended - begun),
        "ours_cpu": 3 * reader.records / (ended_cpu - begun_cpu),
        "gather": 3 * BATCH * steps / (ended - filled),
    }


def plain_pipeline(folder: Path, rows: list[list[str]], resize: int) -> Any:
    """Three files a triplet: read, decode, resize to a side (0 = not); AUTOTUNE and prefetch."""
    paths = [[str(folder / "pictures" / f"{one}.jpg") for one in row] for row in rows]

    def load(path: Any) -> Any:
        pixels = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        return tf.image.resize(pixels, [resize, resize]) if resize else pixels

    def triplet(three: Any) -> Any:
        return tf.stack([load(three[i]) for i in range(3)])

    mixed = tf.data.Dataset.from_tensor_slices(paths).shuffle(len(paths), seed=0)
    return (
        mixed.map(triplet, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(BATCH, drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
    )


def plain_rate(pipeline: Any) -> tuple[float, float]:
    """Images a second after the first batches, by wall and by processor time."""
    batches = iter(pipeline.take(WARM_UP_STEPS + PLAIN_STEPS))
    for _ in range(WARM_UP_STEPS):
        next(batches)
    begun, begun_cpu = time.perf_counter(), time.process_time()
    images = 3 * BATCH * sum(1 for _ in batches)
    return images / (time.perf_counter() - begun), images / (time.process_time() - begun_cpu)


def measure(folder: Path, pictures: int, rounds: int) -> dict[str, Any]:
    """Rates of all sides and their ratios."""
    with contextlib.redirect_stdout(sys.stderr):
        dataset, rows = make_dataset(folder, pictures)
    sides = {"plain": RESIZED, "plain_unresized": 0}
    found: list[dict[str, float]] = []
    for _ in range(1 + rounds):
        row = our_pass(dataset)
        for name, resize in sides.items():
            row[name], row[f"{name}_cpu"] = plain_rate(plain_pipeline(folder, rows, resize))
        found.append(row)
    # What TensorFlow and the system's file cache do at their first use is nobody's time.
    del found[0]

    def median(*names: str) -> float:
        one, *others = names
        return statistics.median(row[one] / (row[others[0]] if others else 1) for row in found)

    report: dict[str, Any] = {name: median(name) for name in found[0]}
    report["ratio"] = median("ours", "plain")
    report["ratio_cpu"] = median("ours_cpu", "plain_cpu")
    report["ratio_unresized_cpu"] = median("ours_cpu", "plain_unresized_cpu")
    report["ratio_unresized"] = median("ours", "plain_unresized")
    report["gather_ratio"] = median("gather", "plain")
    report["gather_ratio_unresized"] = median("gather", "plain_unresized")
    report.update(pictures=pictures, triplets=len(rows), rounds=rounds, bar=BAR)
    report["ok"] = report["ratio"] >= BAR
    return report


def run(
    doc: str | None,
    pictures: int,
    measure: Callable[[Path, int, int], dict[str, Any]],
    show: Callable[[dict[str, Any]], None],
) -> None:
    """The command of a benchmark over faces: measures, and shows a table or prints JSON.

    Args:
      doc: of the benchmark, for --help.
      pictures: how many by default.
      measure: takes a folder to work in, the number of pictures and that of rounds.
      show: prints what was measured for a person.
    """
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    help_ = f"each is used {USES} times"
    parser.add_argument("--pictures", type=int, default=pictures, help=help_)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = measure(Path(folder), arguments.pictures, arguments.rounds)
    if arguments.json:
        print(json.dumps(report))
    else:
        show(report)


def show(report: dict[str, Any]) -> None:
    """Prints images a second of each side, and their ratios."""
    print(f"{report['pictures']} pictures, {report['triplets']} triplets, batches of {BATCH}")
    print(f"                                    images/s   ours is   gather is   bar {BAR:g} x")
    print(f"  table and gather, one pass       {report['ours']:9.0f}")
    print(f"  gather alone                     {report['gather']:9.0f}")
    for name, suffix, label in (
        ("plain", "", "read, decode, resize"),
        ("plain_unresized", "_unresized", "read, decode"),
    ):
        ratios = f"{report[f'ratio{suffix}']:7.1f} x   {report[f'gather_ratio{suffix}']:7.1f} x"
        print(f"  {label:32s} {report[name]:9.0f} {ratios}")
    print(
        f"  by processor time {report['ratio_cpu']:.1f} x, "
        f"without the resize {report['ratio_unresized_cpu']:.1f} x"
    )


if __name__ == "__main__":
    run(__doc__, 12_000, measure, show)
