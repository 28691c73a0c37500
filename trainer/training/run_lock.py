"""RUN/lock: one training at a time in a run directory, on any storage, from any machine.

    RUN/lock/000003      the highest number counts: who trains, or has trained, here

A lock is acquired by exclusively creating the next number, which is atomic on local disks and on
NFS alike; flock() is not used, as some shared storage lacks it. The holder rewrites its file every
HEARTBEAT_SECONDS and marks it as released at the end. A newcomer takes over if the file is marked,
or if the holder's process is certainly gone, which is known at once on the same machine. Otherwise
it watches, by its own clock, whether the file changes within EXPIRY_SECONDS: the clocks of two
machines are never compared.

A number is never reused, and the holder removes those below the last two. So a newcomer that judged
an outdated state either fails to create its number or immediately sees a higher one.

A holder that was suspended long enough to be replaced finds a higher number at its next heartbeat
or before it writes a state, and exits at once.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from preprocess.shell.errors import OutputError, StorageError, UsageError, full_disk
from preprocess.shell.holder import Holder
from preprocess.shell.regular_files import read_regular
from trainer.training.run_directory import RunDirectory
from trainer.workers import signals

HEARTBEAT_SECONDS = 10.0
EXPIRY_SECONDS = 45.0  # four heartbeats, and half of one for the write itself
WATCH_SECONDS = 1.0  # between two looks at a lock that may be held
_RELEASED = b"given back"
_MAX_BYTES = 1 << 16
_JOIN_SECONDS = 2.0  # how long a heartbeat may take on slow storage
_LOOKS, _LOOK_SECONDS = 10, 0.1  # for a stale directory listing, as on NFS


class RunInUse(UsageError):
    """Another process trains in the run directory (64)."""


class RunTakenOver(StorageError):
    """Another process took over this run, as this one had not renewed its lock (74)."""


class _State(NamedTuple):
    """The content of a lock's newest file; number 0 if there is none."""

    number: int
    content: bytes

    @property
    def holder(self) -> Holder:
        return Holder.read(self.content.partition(b"\n\n")[0])

    @property
    def free(self) -> bool:
        """Whether it is certainly free."""
        return not self.number or self.content.endswith(_RELEASED) or self.holder.gone


class RunLock:
    """A lock held by this process, under a number that is never reused."""

    def __init__(
        self, run: RunDirectory, number: int, holder: Holder, say: Callable[[str], None]
    ) -> None:
        """Starts the heartbeat; `say` receives the reason if the process has to exit."""
        self._run, self._number, self._holder, self._say = run, number, holder, say
        self._beats = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="run-lock", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raises RunTakenOver if another process has acquired the lock."""
        newest = _newest(self._run.lock)
        if newest.number > self._number:
            raise RunTakenOver(
                f"'{self._run.path}' was taken over by {newest.holder}: this process had not "
                f"renewed its lock for {EXPIRY_SECONDS:.0f} s; it stops and writes nothing more"
            )

    def release(self) -> None:
        """Releases the lock; does nothing if it was released or lost before."""
        if self._ended.is_set():
            return
        self._ended.set()
        if threading.current_thread() is not self._thread:  # a lost heartbeat calls this itself
            self._thread.join(_JOIN_SECONDS)
            with contextlib.suppress(OSError):
                self._write(_RELEASED)

    def _keep(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS):
            try:
                self.check()
                self._beats += 1
                self._write(b"heartbeat %d" % self._beats)
            except RunTakenOver as error:
                self._say(f"stopped: {error}")
                signals.leave(error.exit_code)  # no thread may write anything from now on
            except OSError:
                continue  # storage does not respond: the next successful heartbeat shows the holder

    def _write(self, last_line: bytes) -> None:
        # In place, or created again if somebody removed it: the number remains this process's.
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        _write(_file(self._run.lock, self._number), flags, self._holder, last_line)


@contextlib.contextmanager
def only_training(run: RunDirectory, say: Callable[[str], None]) -> Iterator[RunLock]:
    """Acquires the lock of an existing run directory.

    Args:
      run: the run directory.
      say: receives who is waited for, and the reason if the process has to exit.

    Raises:
      RunInUse: another process trains there; the message names it.
      UsageError: the lock cannot be written.
      OutputError: the disk is full.
    """
    try:
        lock = _take(run, Holder.this_process("a training"), say)
    except OSError as error:
        if reason := full_disk(error):
            raise OutputError(
                f"{reason}: '{run.path}'; make room and run the same command"
            ) from None
        raise UsageError(f"--workdir='{run.path}': {error.strerror}") from None
    with signals.before_leaving(lock.release):
        try:
            yield lock
        finally:
            lock.release()


def training_there(run: RunDirectory) -> str:
    """Who trains in a run directory, if that is known at once; else ""."""
    try:
        newest = _newest(run.lock)
    except OSError:
        return ""
    return str(newest.holder) if newest.holder.is_local and not newest.free else ""


def _take(run: RunDirectory, holder: Holder, say: Callable[[str], None]) -> RunLock:
    folder = run.lock
    folder.mkdir(exist_ok=True)
    if folder.is_symlink():
        raise UsageError(f"--workdir='{run.path}': '{folder}' is a link; remove it")
    watch = _Watch(run, say)
    while True:
        newest = _newest(folder)
        if not newest.free and not watch.is_over(newest):
            time.sleep(WATCH_SECONDS)
            continue
        number = newest.number + 1
        file, flags = _file(folder, number), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            _write(file, flags, holder, b"heartbeat 0")
        except FileExistsError:
            continue
        if _newest(folder).number == number:
            _remove_below(folder, number - 1)
            return RunLock(run, number, holder, say)
        file.unlink()  # the decision was based on an outdated state


class _Watch:
    """Watches a held lock until it changes or its time is up."""

    def __init__(self, run: RunDirectory, say: Callable[[str], None]) -> None:
        self._run, self._say = run, say
        self._first: _State | None = None
        self._deadline = 0.0

    def is_over(self, newest: _State) -> bool:
        """Whether the holder is presumed dead; raises RunInUse if it is alive."""
        holder = newest.holder
        if self._first is None:
            self._first, self._deadline = newest, time.monotonic() + EXPIRY_SECONDS
            if newest.content and not holder.is_local:
                self._say(
                    f"'{self._run.path}' may be in use by {holder}: watching for up to "
                    f"{EXPIRY_SECONDS:.0f} s whether it is alive"
                )
        # Without content, it is just being written.
        if newest.content and (holder.is_local or newest != self._first):
            raise RunInUse(
                f"'{self._run.path}' is in use by {holder}; wait for it, stop it, or choose "
                "another --workdir"
            )
        if time.monotonic() < self._deadline:
            return False
        self._say(f"taking over from {holder}, which ended without releasing '{self._run.path}'")
        return True


def _newest(folder: Path) -> _State:
    """The file with the highest number; reopened each time, so that NFS asks the server."""
    number = 0
    for _ in range(_LOOKS):
        number = max((int(name) for name in _names(folder) if name.isdecimal()), default=0)
        if not number:
            return _State(0, b"")
        with contextlib.suppress(FileNotFoundError):  # a higher one exists by now
            return _State(number, read_regular(_file(folder, number), _MAX_BYTES))
        time.sleep(_LOOK_SECONDS)
    return _State(number, b"")


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}"


def _write(path: Path, flags: int, holder: Holder, last_line: bytes) -> None:
    """Holder, empty line, changing part; in one write, so that readers see all of it."""
    content = holder.data + b"\n\n" + last_line
    descriptor = os.open(path, flags, 0o644)
    try:
        os.write(descriptor, content)
        os.ftruncate(descriptor, len(content))
    finally:
        os.close(descriptor)


def _remove_below(folder: Path, number: int) -> None:
    for name in _names(folder):
        if name.isdecimal() and int(name) < number:
            with contextlib.suppress(OSError):
                (folder / name).unlink()
