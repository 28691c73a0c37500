"""A lock on a file that one process holds at a time: flock, or a file created exclusively.

Some mounts have no flock (FUSE file systems, NFS without its lock service, old cluster file
systems). There, `LOCK.held` is created with O_EXCL, names its holder and is removed at the end. A
process that was killed leaves it behind: the next one on the same machine sees that its holder is
gone and takes over; on another machine the message names the file to remove.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator

from preprocess.shell.process import machine, start_time
from preprocess.shell.regular_files import read_regular

# What flock reports where a file system has none; NFS without its lock service says ENOLCK.
_NO_FLOCK = (errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENOLCK)
_MOST_TRIES = 10
_MAX_BYTES = 4096
_made: dict[str, int] = {}  # files that stand for a lock held here -> process: not a forked one's


class HeldError(Exception):
    """Another process holds the lock; the message says which, and how to be rid of a dead one."""


@contextlib.contextmanager
def held(descriptor: int, path: str) -> Iterator[None]:
    """Holds the lock while the context lasts, or until the process ends.

    Args:
      descriptor: of the lock file, open for writing.
      path: its name, beside which the other file is made if there is no flock.

    Raises:
      HeldError: another process has it.
      OSError: the file system refuses for another reason.
    """
    made = ""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise HeldError("a process of a machine that sees this disk") from None
    except OSError as error:
        if error.errno not in _NO_FLOCK:
            raise
        made = _create(f"{path}.held")
        _made[made] = os.getpid()
    try:
        yield
    finally:
        if made:
            del _made[made]
            with contextlib.suppress(FileNotFoundError):
                os.unlink(made)


def release_all() -> None:
    """Removes what stands for the locks of this process, which exits without unwinding."""
    for path, process in _made.items():
        if process == os.getpid():
            with contextlib.suppress(OSError):
                os.unlink(path)


def _create(path: str) -> str:
    """Creates the file that stands for the lock; raises HeldError if a living process has."""
    for _ in range(_MOST_TRIES):
        try:
            _write_new(path)
            return path
        except FileExistsError:
            holder = _read(path)
        if holder is None:
            continue  # given back just now
        if not _is_gone(holder):
            raise HeldError(_described(holder, path))
        _remove_stale(path, holder)
    raise HeldError(f"processes that come and go; if there are none, remove '{path}'")


def _remove_stale(path: str, holder: str) -> None:
    """Removes what a dead process left. Only one process may at a time: the second would remove
    the lock that the first one has just created.
    """
    taking = f"{path}.taking-over"
    try:
        _write_new(taking)
    except FileExistsError:
        other = _read(taking)
        if other is not None:
            raise HeldError(_described(other, taking)) from None
        return
    try:
        if _read(path) == holder:
            os.unlink(path)
    finally:
        os.unlink(taking)


def _write_new(path: str) -> None:
    pid = os.getpid()
    holder = {
        "host": socket.gethostname(),
        "machine": machine(),
        "pid": pid,
        "started": start_time(pid),
        "since": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
    }
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(holder, file)


def _read(path: str) -> str | None:
    try:
        return read_regular(path, _MAX_BYTES).decode("utf-8", "replace")
    except FileNotFoundError:
        return None


def _fields(holder: str) -> dict[str, object]:
    try:
        fields = json.loads(holder)
    except ValueError:
        return {}  # being written just now, or by something else
    return fields if isinstance(fields, dict) else {}


def _is_gone(holder: str) -> bool:
    """Whether this surely is a process of this machine that has ended."""
    fields = _fields(holder)
    here, pid = machine(), fields.get("pid")
    if not here or fields.get("machine") != here or not isinstance(pid, int):
        return False
    return start_time(pid) != fields.get("started")


def _described(holder: str, path: str) -> str:
    fields = _fields(holder)
    who = f"process {fields.get('pid', '?')} on {fields.get('host', 'an unknown machine')}"
    return f"{who}, since {fields.get('since', '?')}; if it surely is dead, remove '{path}'"
