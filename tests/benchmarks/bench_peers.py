"""Other readers of pictures against ours, on the same JPEGs: a table.

    make bench-peers        # or, with the others' packages in an environment of your own:
    python -m tests.benchmarks.bench_peers --peers=PYTHON [--sides=32,96,256] [--json]

Batches of 64 of pictures of classes, in random order, two passes after one that does not count;
each reader in a process of its own, all in turn, again and again. A figure is the median over the
rounds, a ratio the median of the rounds' ratios to tf.data. Ours give the pixels of variant 0,
the others whatever their decoder gives; tf.data stands in this project's environment, DALI, Grain,
webdataset and MosaicML streaming in the other one (tests/benchmarks/peers/requirements.txt).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks.bench_loader import make_dataset
from tests.benchmarks.build_runs import ROOT
from tests.benchmarks.peers.read import READERS

REFERENCE = "tf.data"
IN_OUR_ENVIRONMENT = (*(name for name in READERS if name.startswith("ours")), REFERENCE)
SECONDS = 900  # of one reader
LEAST_PICTURES, MOST_PICTURES = 4096, 16_384

Rates = dict[str, dict[str, float]]  # by reader, pictures a second by wall and by processor time


def rates(reader: str, python: str, dataset: str) -> dict[str, float]:
    """One reader in a process; raises RuntimeError where it fails."""
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run(
            [python, "-m", "tests.benchmarks.peers.read", reader, dataset, scratch],
            cwd=ROOT, capture_output=True, text=True, timeout=SECONDS,
        )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{reader}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(dataset: str, peers: str, rounds: int) -> dict[str, Any]:
    """All readers in turn, `rounds` times."""
    turns: list[Rates] = []
    for _ in range(rounds):
        turn = {}
        for reader in READERS:
            python = sys.executable if reader in IN_OUR_ENVIRONMENT else peers
            turn[reader] = rates(reader, python, dataset)
            told = " ".join(f"{by} {rate:.0f}" for by, rate in turn[reader].items())
            print(f"{reader:<22} {told}", file=sys.stderr, flush=True)
        turns.append(turn)
    report: dict[str, Any] = {}
    for reader in READERS:
        report[reader] = {}
        for by in ("wall", "processor"):
            ratios = [turn[reader][by] / turn[REFERENCE][by] for turn in turns]
            report[reader][by] = statistics.median(turn[reader][by] for turn in turns)
            report[reader][f"{by}_ratio"] = statistics.median(ratios)
    return report


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peers", required=True, help="the Python that has the others' packages")
    parser.add_argument("--sides", default="32,96,256", help="of the pictures, pixels")
    parser.add_argument("--pixels", type=int, default=40_000_000, help="in the data set")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each reader")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    arguments = parser.parse_args()
    reports = {}
    for side in map(int, arguments.sides.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            # More of small ones, so that a pass is not over before all threads are at work.
            pictures = min(MOST_PICTURES, max(LEAST_PICTURES, arguments.pixels // side**2))
            dataset = make_dataset(Path(folder), side, pictures)
            reports[side] = measure(dataset, arguments.peers, arguments.rounds)
    if arguments.json:
        print(json.dumps(reports))
        return
    print("thousands of pictures a second by wall (by processor time), and against tf.data")
    for side, report in reports.items():
        for reader, found in report.items():
            print(
                f"{side:4d} px  {reader:<22} {found['wall'] / 1e3:6.1f} "
                f"({found['processor'] / 1e3:5.1f})  {found['wall_ratio']:5.2f} x "
                f"({found['processor_ratio']:4.2f} x)"
            )


if __name__ == "__main__":
    main()
