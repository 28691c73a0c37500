"""RUN/lock: one training at a time in a run directory, on any storage, from any machine.

    RUN/lock/000003      the newest number counts: who trains, or trained, here

A lock is taken by creating the next number exclusively, which is atomic on local disks and on NFS
alike; flock() is not used, as not every shared storage has it. The holder rewrites its file every
HEARTBEAT_SECONDS and marks it as given back at the end. Whoever comes later takes over where the
file is marked, or where the process is surely gone, which is known at once on the same machine.
Elsewhere it watches, by its own clock, whether the file changes within EXPIRY_SECONDS: the clocks
of two machines are never compared.

A number is never used again, and those below the last two are removed by the holder: so whoever
judged an old state creates a number that is taken, or sees a higher one right after.

A holder that was suspended for so long that it was replaced finds a higher number, at its next
heartbeat or before it writes a state, and ends at once.
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
EXPIRY_SECONDS = 45.0  # four heartbeats, and half of one for the writing itself
WATCH_SECONDS = 1.0  # between two looks at a lock that may be alive
_RELEASED = b"given back"
_MAX_BYTES = 1 << 16
_JOIN_SECONDS = 2.0  # that a heartbeat may take on slow storage
_LOOKS, _LOOK_SECONDS = 10, 0.1  # for a list of files that is behind, as on NFS


class RunInUse(UsageError):
    """Another process trains in the run directory (64)."""


class RunTakenOver(StorageError):
    """Another process trains here now, as this one did not renew its lock for so long (74)."""


class _State(NamedTuple):
    """What the newest file of a lock says; number 0 where there is none."""

    number: int
    content: bytes

    @property
    def holder(self) -> Holder:
        return Holder.read(self.content.partition(b"\n\n")[0])

    @property
    def free(self) -> bool:
        """Whether it surely is nobody's."""
        return not self.number or self.content.endswith(_RELEASED) or self.holder.gone


class RunLock:
    """A lock that this process holds: its number is its own for ever."""

    def __init__(
        self, run: RunDirectory, number: int, holder: Holder, say: Callable[[str], None]
    ) -> None:
        """Starts the heartbeat; `say` takes why the process ends, where it must."""
        self._run, self._number, self._holder, self._say = run, number, holder, say
        self._beats = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="run-lock", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raises RunTakenOver where another process has the lock by now."""
        newest = _newest(self._run.lock)
        if newest.number > self._number:
            raise RunTakenOver(
                f"'{self._run.path}' was taken over by {newest.holder}: this process did not renew "
                f"its lock for {EXPIRY_SECONDS:.0f} s; nothing more is written"
            )

    def release(self) -> None:
        """Gives the lock back; harmless a second time, and where it was lost."""
        if self._ended.is_set():
            return
        self._ended.set()
        if threading.current_thread() is not self._thread:  # which calls it where it was lost
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
                signals.leave(error.exit_code)  # nothing more may be written from any thread
            except OSError:
                continue  # storage that does not respond: whose it is shows when it does

    def _write(self, last_line: bytes) -> None:
        # In place, and created anew where somebody has removed it: the number stays this one's.
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        _write(_file(self._run.lock, self._number), flags, self._holder, last_line)


@contextlib.contextmanager
def only_training(run: RunDirectory, say: Callable[[str], None]) -> Iterator[RunLock]:
    """Holds the lock of a run directory, which must be there.

    Args:
      run: the run directory.
      say: takes who is waited for, and why the process ends where it was replaced.

    Raises:
      RunInUse: another process trains there; it is named.
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
    """Who trains in a run directory as far as can be told at once, or ""."""
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
        file.unlink()  # judged by a state that was long gone


class _Watch:
    """Watches a lock that is somebody's until it changes or its time is up."""

    def __init__(self, run: RunDirectory, say: Callable[[str], None]) -> None:
        self._run, self._say = run, say
        self._first: _State | None = None
        self._deadline = 0.0

    def is_over(self, newest: _State) -> bool:
        """Whether the holder is taken for dead; raises RunInUse where it is alive."""
        holder = newest.holder
        if self._first is None:
            self._first, self._deadline = newest, time.monotonic() + EXPIRY_SECONDS
            if newest.content and not holder.is_local:
                self._say(
                    f"'{self._run.path}' may be in use by {holder}: watching for up to "
                    f"{EXPIRY_SECONDS:.0f} s whether it is alive"
                )
        # Without content it is just being written.
        if newest.content and (holder.is_local or newest != self._first):
            raise RunInUse(
                f"'{self._run.path}' is in use by {holder}; wait for it, stop it, or choose "
                "another --workdir"
            )
        if time.monotonic() < self._deadline:
            return False
        self._say(f"taking over from {holder}, which ended without giving '{self._run.path}' back")
        return True


def _newest(folder: Path) -> _State:
    """The file with the highest number; opened anew, so that NFS asks the server about it."""
    number = 0
    for _ in range(_LOOKS):
        number = max((int(name) for name in _names(folder) if name.isdecimal()), default=0)
        if not number:
            return _State(0, b"")
        with contextlib.suppress(FileNotFoundError):  # a higher one is there by now
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
    """The holder, an empty line, and what changes; in one write, so that readers see it whole."""
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
