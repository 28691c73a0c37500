"""What takes its time and is the same for all processes of the test suite: made by the first that
needs it, copied by the others.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


def shared_folder(
    factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]
) -> Path:
    """A folder of this process's own with what `make(folder)` puts into one.

    Args:
      factory: of the session.
      name: of the folder; another content has another name.
      make: called once by all processes of a session. The folder has been moved where another
        process or a second call sees it, so nothing in it may hold its path.
    """
    own = factory.mktemp(name)
    # With xdist, each process has a folder in that of the session.
    workers = "PYTEST_XDIST_WORKER" in os.environ
    root = factory.getbasetemp().parent if workers else factory.getbasetemp()
    done = root / f"shared-{name}"
    with open(root / f"shared-{name}.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            made = own / "made"
            made.mkdir()
            make(made)
            made.rename(done)
    shutil.copytree(done, own, dirs_exist_ok=True)
    return own
