"""How much memory this process may still take: the container's limit, not the machine's."""

from __future__ import annotations

import contextlib
from pathlib import Path

_LIMITS = (  # (limit, in use): cgroup version 2, then 1
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)


def available_bytes() -> int:
    """Bytes free for this process: the least of the machine's and its container's."""
    available = 1 << 62
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                available = int(line.split()[1]) << 10
    for limit, used in _LIMITS:
        # "max" = no limit, which int() refuses.
        with contextlib.suppress(OSError, ValueError):
            free = int(Path(limit).read_text(encoding="ascii")) - int(
                Path(used).read_text(encoding="ascii")
            )
            available = min(available, max(free, 0))
    return available
