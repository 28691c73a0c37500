"""Trainings with data.variants=live and the followers that build for them, by the real commands."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from preprocess.live_format import LIVE_FOLDER
from tests import forked
from tests.trainer import datasets, kills


def class_data(folder: Path, variants: int, name: str = "classes", *flags: str) -> str:
    """The pictures of write_folders() in that many variants: 21 for training, 3 steps of 8."""
    pictures = folder / "pictures"
    if not pictures.exists():
        datasets.write_folders(pictures)
    common = ("--shards=3", "--encoding=png", f"--variants={variants}", *flags)
    return datasets.build(folder / name, "--source=folders", f"--images={pictures}", *common)


def follower(data: str, run: Path, *flags: str, **environment: str) -> forked.Popen:
    """`preprocess follow` of a run, started; its messages go to RUN.follower."""
    with open(run.with_suffix(".follower"), "ab") as said:
        return forked.Popen(
            [sys.executable, "-m", "preprocess", "follow", data, f"--run={run}", *flags],
            cwd=datasets.REPOSITORY,
            env={**os.environ, **environment},
            stdout=subprocess.DEVNULL,
            stderr=said,
        )


def started(flags: list[str], run: Path) -> forked.Popen:
    """`trainer FLAGS`, started; its messages go to RUN.stderr."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    with open(run.with_suffix(".stderr"), "wb") as said:
        return forked.Popen(
            [sys.executable, "-m", "trainer", *flags],
            cwd=datasets.REPOSITORY,
            env=plain,
            stdout=subprocess.DEVNULL,
            stderr=said,
        )


@contextlib.contextmanager
def following(data: str, run: Path, *flags: str, **environment: str) -> Iterator[forked.Popen]:
    """A follower that is ended with the block, if it has not ended itself."""
    process = follower(data, run, *flags, **environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def report_of(run: Path) -> dict[str, Any]:
    """report.json of a run."""
    report: dict[str, Any] = json.loads((run / "report.json").read_text(encoding="utf-8"))
    return report


class DiskWatch(threading.Thread):
    """Notes the most variants that lay below DATASET/live at a time, whole or begun."""

    def __init__(self, data: str) -> None:
        super().__init__(daemon=True)
        self._folder = Path(data) / LIVE_FOLDER / "train"
        self._over = threading.Event()
        self.most = 0
        self.seen: set[str] = set()

    def run(self) -> None:
        """Until end()."""
        while not self._over.wait(kills.POLL_SECONDS):
            with contextlib.suppress(OSError):
                names = set(os.listdir(self._folder))
                self.most = max(self.most, len(names))
                self.seen |= names

    def end(self) -> None:
        """Stops looking."""
        self._over.set()
        self.join()


def kill(process: subprocess.Popen[str], number: signal.Signals) -> int:
    """Sends a signal, and waits for the end."""
    process.send_signal(number)
    return process.wait(300)
