"""Inputs for the build benchmarks, and builds run as a user runs them, measured from outside."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from preprocess.shards.workspace import FOLDER
from preprocess.synth.dataset import synthesise

ROOT = Path(__file__).parents[2]
HEADER = "face1,face2,face3,votes1,votes2,votes3,triplet_type,subset"
ORIGINALS = 200  # pictures that linked_set gives many names
POLL_SECONDS = 0.1

COMMITTED = tuple[int, int]  # inode and modification time in ns: another pair, another writing


def face_set(folder: Path, faces: int) -> dict[str, Path]:
    """Made-up faces, every one another, twice as many triplets; the flags that name them."""
    synthesise(folder, faces=faces, triplets=2 * faces, progress=False)
    return {"csv": folder / "labels.csv", "images": folder / "images_cropped"}


def linked_set(folder: Path, pictures: int, rows: int) -> dict[str, Path]:
    """Faces that share ORIGINALS files under many names, which costs no disk and little time, and
    a table of `rows` in which each stands about equally often; all of it training.
    """
    originals = face_set(folder / "originals", ORIGINALS)["images"]
    sources = sorted(originals.iterdir())
    images = folder / "images"
    images.mkdir()
    for number in range(pictures):
        os.link(sources[number % ORIGINALS], images / f"f{number:07d}.jpg")
    order = list(range(pictures))
    chance = random.Random(0)
    with (folder / "table.csv").open("w", encoding="utf-8") as table:
        table.write(f"{HEADER}\n")
        at = pictures
        for _ in range(rows):
            if at + 3 > pictures:
                chance.shuffle(order)
                at = 0
            names = ",".join(f"f{number:07d}" for number in order[at : at + 3])
            table.write(f"{names},0.166667,0.166667,0.666667,ONE_CLASS_TRIPLET,train\n")
            at += 3
    return {"csv": folder / "table.csv", "images": images}


def build_arguments(flags: dict[str, Path], variants: int) -> list[str]:
    """Flags of `build` and `plan`."""
    paths = [f"--{name}={path}" for name, path in flags.items()]
    return ["--source=fec", f"--variants={variants}", *paths]


@dataclasses.dataclass(frozen=True)
class Run:
    """A command that ended well, seen from outside."""

    answer: dict[str, Any]  # its --json
    seconds: float  # from the start of the process to its end
    cpu_seconds: float  # of it and of all processes it started
    peak_bytes: int  # resident, of the largest of them


def start(*arguments: str) -> subprocess.Popen[str]:
    """`python -m preprocess ...` as a process."""
    return subprocess.Popen(
        [sys.executable, "-m", "preprocess", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def run(*arguments: str) -> Run:
    """Runs a command to its end; raises RuntimeError where it fails."""
    before = os.times()
    started = time.monotonic()
    process = start(*arguments)
    peaks = [0]
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(POLL_SECONDS):
            peaks.append(max(peaks.pop(), *map(_peak, family(process.pid))))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    out, _ = process.communicate()
    seconds = time.monotonic() - started
    ended.set()
    watcher.join()
    if process.returncode:
        raise RuntimeError(f"preprocess {' '.join(arguments)}: exit code {process.returncode}")
    after = os.times()
    cpu = sum(after[2:4]) - sum(before[2:4])
    return Run(json.loads(out), seconds, cpu, peaks[0])


def plain_build(folder: Path, arguments: list[str]) -> dict[str, float]:
    """Training shards built by calling the function in a process of its own, nothing else."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.plain_build", *arguments, f"--output={folder}"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def working_seconds(dataset: Path) -> float:
    """From the first worker's start on its first shard to the last marker. A marker is written
    when its shard's seconds, of which it tells, are over.
    """
    begun, over = [], []
    for marker in markers(dataset):
        ended = marker.stat().st_mtime
        begun.append(ended - sum(json.loads(marker.read_text())["seconds"].values()))
        over.append(ended)
    return max(over) - min(begun)


def markers(dataset: Path) -> list[Path]:
    """The markers of finished shards."""
    return sorted((dataset / FOLDER / "done").glob("*.json"))


def committed(dataset: Path) -> dict[str, COMMITTED]:
    """State of every shard file that a marker speaks of."""
    states = {}
    for marker in markers(dataset):
        for shard in json.loads(marker.read_text())["shards"]:
            status = (dataset / shard["file"]).stat()
            states[shard["file"]] = (status.st_ino, status.st_mtime_ns)
    return states


def family(pid: int) -> list[int]:
    """A process and those it started, which here start none."""
    found = [pid]
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            state, parent = status.read_text().rsplit(")", 1)[1].split()[:2]
            if int(parent) == pid and state != "Z":
                found.append(int(status.parent.name))
    return found


def _peak(pid: int) -> int:
    """Peak resident bytes of a process, 0 where it is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0
