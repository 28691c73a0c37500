"""Control groups of a test's own: a CPU quota or a memory limit as a container has it."""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from trainer.monitoring import memory

GONE_SECONDS = 30.0


def read_limit(path: str, bytes_a_second: int) -> Mapping[str, str]:
    """Files of a group of `blkio` that may read so much a second of the disk that holds a path."""
    device = os.stat(path).st_dev
    limit = f"{os.major(device)}:{os.minor(device)} {bytes_a_second}"
    return {"blkio.throttle.read_bps_device": limit}


def can_limit(controller: str) -> bool:
    """Whether groups of version 1 with limits of their own can be made beneath this process's."""
    parent = _parent(controller)
    return parent is not None and os.access(parent, os.W_OK) and os.geteuid() == 0


@contextlib.contextmanager
def control_groups(groups: Mapping[str, Mapping[str, str]]) -> Iterator[Callable[[], None]]:
    """Makes groups with these files, by controller; gives what a process joins them by, which is
    to be its preexec_fn. They are removed once its processes are gone.
    """
    made: list[Path] = []
    try:
        for controller, files in groups.items():
            parent = _parent(controller)
            assert parent is not None, f"no control groups of version 1 for {controller}"
            made.append(parent / f"shardline-{uuid.uuid4().hex[:8]}")
            made[-1].mkdir()
            for name, value in files.items():
                (made[-1] / name).write_text(value)

        def join() -> None:
            for group in made:
                (group / "cgroup.procs").write_text(str(os.getpid()))

        yield join
    finally:
        for group in made:
            _remove(group)


def _parent(controller: str) -> Path | None:
    """The group of this process, so that what limits it limits those it makes, too."""
    for group, version in memory.groups(controller):
        if version == 1 and group.is_dir():
            return group
    return None


def _remove(group: Path) -> None:
    deadline = time.monotonic() + GONE_SECONDS
    while True:
        try:
            group.rmdir()
        except OSError:  # a process that has just ended is still in it
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
