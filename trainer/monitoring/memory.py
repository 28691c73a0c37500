"""How much memory this process may still take: the container's limit, not the machine's."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

CGROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")
MACHINE = Path("/proc/meminfo")
NAMESPACE = Path("/proc/self/ns/cgroup")  # a container sees its own group as "/"


class _Files(NamedTuple):
    """Names in a control group: the limit, what is used, and which part of it are files that
    were read and that the kernel drops before anything else.
    """

    limit: str
    used: str
    dropped_first: str  # a key of memory.stat


_FILES = {
    2: _Files("memory.max", "memory.current", "inactive_file"),
    1: _Files("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def available_bytes() -> int:
    """Bytes free for this process: the least of the machine's and its containers'.

    A dataset that was just read fills the container with cached files; they do not count as used,
    as they do not for Kubernetes (its working set).
    """
    return min(_available(), default=(1 << 62, ""))[0]


def shared_memory_number() -> int:
    """32 bits, the same for processes of a machine that take from the same memory: that of the
    control group with the least room, or the machine's.
    """
    limited = min(_available(), default=(0, ""))[1]
    if limited:
        with contextlib.suppress(OSError):
            limited += f" {os.stat(NAMESPACE).st_ino}"
        own = next(groups("memory"))[0]
        if not own.exists():  # a container without such a namespace: only this tells it from others
            limited += f" {own}"
    return int.from_bytes(hashlib.sha256(limited.encode()).digest()[:4])


def _available() -> Iterator[tuple[int, str]]:
    """(bytes, control group or "") of the machine and of each group that can be read."""
    with contextlib.suppress(OSError, ValueError):
        yield _entry(MACHINE, "MemAvailable:") << 10, ""
    for group, version in groups("memory"):
        files = _FILES[version]
        # "max" = no limit, which int() refuses.
        with contextlib.suppress(OSError, ValueError):
            limit = int((group / files.limit).read_text(encoding="ascii"))
            used = int((group / files.used).read_text(encoding="ascii"))
            with contextlib.suppress(OSError, ValueError):
                used -= _entry(group / "memory.stat", files.dropped_first)
            yield max(limit - used, 0), str(group)


def machine_share_available() -> float | None:
    """Of the machine's memory, what is available; None if it is not known."""
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        return _entry(MACHINE, "MemAvailable:") / _entry(MACHINE, "MemTotal:")
    return None


def limit_bytes() -> int | None:
    """The least memory limit of this process's control groups, where it is below what the machine
    has; None = there is none, or it is not known.
    """
    limits = []
    for group, version in groups("memory"):
        with contextlib.suppress(OSError, ValueError):
            limits.append(int((group / _FILES[version].limit).read_text(encoding="ascii")))
    limit = min(limits, default=None)
    with contextlib.suppress(OSError, ValueError):
        if limit is not None and limit >= _entry(MACHINE, "MemTotal:") << 10:
            return None  # version 1 writes a number if there is no limit
    return limit


def groups(controller: str) -> Iterator[tuple[Path, int]]:
    """The control groups this process is in for a controller, each with its version, 1 or 2, from
    its own up to the root of the container: a limit may be set on any of them (Slurm sets it on a
    job and on a step of it).
    """
    lines = []
    with contextlib.suppress(OSError):
        lines = OWN_GROUPS.read_text(encoding="utf-8").splitlines()
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            root, version = CGROUPS, 2
        elif controller in controllers.split(","):
            root, version = CGROUPS / controller, 1
        else:
            continue
        # A container without a namespace of its own gets a path that it does not see.
        for part in (Path(path), *Path(path).parents):
            yield root / part.relative_to("/"), version


def counted(name: str, version_1: str) -> int | None:
    """The number by this name in memory.stat of the innermost control group that has one.

    Args:
      name: of version 2.
      version_1: of version 1, which counts what is below the group under other names.
    """
    names = {1: version_1, 2: name}
    for group, version in groups("memory"):
        with contextlib.suppress(OSError, ValueError):
            return _entry(group / "memory.stat", names[version])
    return None


def _entry(file: Path, name: str) -> int:
    """The number after a name in a file of lines; raises ValueError if there is none."""
    for line in file.read_text(encoding="ascii").splitlines():
        key, *values = line.split()
        if key == name:
            return int(values[0])
    raise ValueError(name)
