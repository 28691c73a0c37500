"""What an integration test needs of the system, installed where that can be done.

Whatever cannot be had skips the test that asked for it, with the reason: a machine without root
or without a network still runs the rest.
"""

from __future__ import annotations

import functools
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "shardline"
INSTALL_SECONDS = 600


def command(name: str, *apt_packages: str) -> str:
    """Path of a program; where it is missing, the first of the packages that apt can install."""
    for package in ("", *apt_packages):
        if package and (problem := _apt_install(package)):
            continue
        if found := shutil.which(name):
            return found
    if not apt_packages:
        problem = "nothing here installs it"
    pytest.skip(f"no '{name}' on this machine: {problem}")


def fetched(name: str, make: Callable[[Path], None]) -> Path:
    """A folder or file of the cache, made once; it appears under its name when it is whole.

    `make` is given the path to fill and may raise CalledProcessError or OSError, which skips.
    """
    path = CACHE / name
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            started = Path(scratch) / "new"
            try:
                make(started)
                started.rename(path)
            except (subprocess.SubprocessError, OSError) as error:
                pytest.skip(f"cannot get {name}: {reason(error)}")
    return path


def run(arguments: Sequence[str | Path], cwd: Path | None = None) -> str:
    """Output of a program that must succeed; raises CalledProcessError."""
    done = subprocess.run(
        [str(a) for a in arguments],
        cwd=cwd,
        check=True,
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
    )
    return done.stdout


def pip_download(requirement: str, folder: Path) -> Path:
    """The one file of a package, without what it depends on."""
    folder.mkdir(parents=True)
    run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", requirement, "-d", folder])
    return next(folder.iterdir())


def reason(error: BaseException) -> str:
    """An error in a line: of a program that failed, what it said about it last."""
    if isinstance(error, subprocess.CalledProcessError):
        lines = (error.stderr or error.stdout or "").strip().splitlines()
        errors = [line for line in lines if "ERROR" in line or line.startswith("E:")] or lines[-1:]
        return (errors[0] if errors else str(error))[:300]
    return str(error)[:300]


def free_port() -> int:
    """A port of localhost that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, seen: Callable[[], bool], seconds: float) -> None:
    """Returns when `seen` is true; fails where it is not within so many seconds."""
    deadline = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < deadline, f"after {seconds:.0f} s: no {what}"
        time.sleep(0.1)


def _apt_install(package: str) -> str:
    """Why it could not be installed; "" where it is."""
    if not shutil.which("apt-get"):
        return "no apt-get to install it with"
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if sudo and not shutil.which("sudo"):
        return "not root, and no sudo"
    try:
        _apt_update(*sudo)
        run([*sudo, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", package])
    except (subprocess.SubprocessError, OSError) as error:
        return f"apt-get install {package}: {reason(error)}"
    return ""


@functools.cache
def _apt_update(*sudo: str) -> None:
    run([*sudo, "apt-get", "update", "-q"])
