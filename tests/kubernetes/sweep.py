"""`python -m tests.kubernetes.sweep FOLDER GROUP`: removes what outlives the nodes' namespaces.

The kernel ends their processes and drops their mounts and network; control groups and files on
the disk stay. This process holds nothing of theirs but the end of a pipe: when all who hold the
other end are gone, in whatever way, it removes both.
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

HIERARCHIES = Path("/sys/fs/cgroup")
GONE_SECONDS = 120.0  # for the last processes to leave their groups


def folders(group: str) -> list[Path]:
    """A control group in every hierarchy that it can be in."""
    if (HIERARCHIES / "cgroup.controllers").exists():  # version 2 has one
        return [HIERARCHIES / group]
    return [path / group for path in sorted(HIERARCHIES.iterdir()) if not path.is_symlink()]


def sweep(folder: Path, group: str) -> bool:
    """Whether nothing is left of either."""
    deadline = time.monotonic() + GONE_SECONDS
    while time.monotonic() < deadline:
        shutil.rmtree(folder, ignore_errors=True)
        left = [path for path in folders(group) if not _removed(path)]
        if not left and not folder.exists():
            return True
        time.sleep(0.2)
    return False


def _removed(group: Path) -> bool:
    """A group can be removed once it is empty, and those beneath it before it."""
    if not group.exists():
        return True
    for child in group.iterdir():
        if child.is_dir():
            _removed(child)
    try:
        group.rmdir()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    sys.stdin.buffer.read()
    sys.exit(not sweep(Path(sys.argv[1]), sys.argv[2]))
