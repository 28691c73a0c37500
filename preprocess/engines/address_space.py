"""The address space that Beam's threads take, where a limit of the process may not have room.

Where it ends in the middle, it ends in any thread of Beam's, native ones among them: with a
traceback, or with threads that wait for one that could not be started. So it is looked at before.
"""

from __future__ import annotations

import re
import resource
from pathlib import Path

from preprocess.shell.errors import ConfigError

# Measured with Python 3.11 and Beam 2.72 besides what the imports have taken: one worker is no
# thread, two are 24 of Beam's and gRPC's, eight are 56, each with a stack and an arena of malloc's.
ONE_WORKER_BYTES = 300 << 20  # 220 measured
THREADS_BYTES = 1050 << 20
WORKER_BYTES = 150 << 20


def check_address_space(workers: int) -> None:
    """Raises ConfigError if a local build with that many threads or processes has no room."""
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft == resource.RLIM_INFINITY:
        return
    used = _used()
    needed = used + needed_bytes(workers)
    if needed <= soft:
        return
    fewer = f", or give --workers=1, which needs {_kilobytes(used + needed_bytes(1))}"
    raise ConfigError(
        f"this process may not use more address space than {_kilobytes(soft)} (ulimit -v), and a "
        f"build with {workers} worker{'s' if workers > 1 else ''} needs {_kilobytes(needed)}: "
        f"raise it (ulimit -v unlimited)"
        f"{fewer if workers > 1 else ''}"
    )


def needed_bytes(workers: int) -> int:
    """What that many workers take besides what the process has."""
    return ONE_WORKER_BYTES if workers == 1 else THREADS_BYTES + workers * WORKER_BYTES


def _used() -> int:
    """Bytes of this process's address space; 0 on a system that does not tell."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    found = re.search(r"^VmSize:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _kilobytes(size: int) -> str:
    return f"{size // 1024} kB"  # as ulimit has it
