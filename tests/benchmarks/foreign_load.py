"""Other work on the machine, while something is measured."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

_BUSY = "import os\nwhile os.getppid() == {parent}: sum(range(10**5))"


@contextlib.contextmanager
def foreign_load(share: float) -> Iterator[None]:
    """Processes that keep a share of the machine's cores busy, to a whole core."""
    command = [sys.executable, "-c", _BUSY.format(parent=os.getpid())]
    count = round(share * (os.cpu_count() or 1))
    processes = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
