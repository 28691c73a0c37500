"""A TensorBoard that runs for a while, as this project's commands start it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.integration import system

START_SECONDS = 120.0  # it imports TensorFlow


def launch(run: str | Path, port: int) -> list[str]:
    """`python -m launch tensorboard RUN` of this interpreter."""
    return [sys.executable, "-m", "launch", "tensorboard", str(run), f"--port={port}"]


def make(run: str | Path, port: int) -> list[str]:
    """`make tensorboard RUN=...` of this repository, whose environment is that of this process."""
    environment = ["-o", "env", f"VENV={sys.prefix}"]
    return ["make", *environment, "tensorboard", f"RUN={run}", f"PORT={port}"]


@contextlib.contextmanager
def running(command: list[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Its process, as soon as the port answers; it and all it started are gone afterwards."""
    with subprocess.Popen(command, start_new_session=True) as server:
        try:
            system.wait_for("TensorBoard", lambda: answers(port), START_SECONDS)
            yield server
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)
            server.wait(60)
            system.wait_for("end of TensorBoard", lambda: not answers(port), 60)


def answers(port: int) -> bool:
    """Whether a page is to be had there."""
    try:
        with urllib.request.urlopen(f"http://localhost:{port}/", timeout=5):
            return True
    except OSError:
        return False
