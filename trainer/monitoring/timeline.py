"""What a worker spends its wall-clock time on, written as it happens: RUN/timeline/.

A worker is in exactly one activity at any moment, so its parts add up. A line of worker-N.jsonl
says which one begins when, and how far the steps are by then:

    {"at": 1764403200.25, "activity": "steps", "step": 120, "waited": 3.1, "host": 0.2}

`at` is in seconds since 1970; `waited` and `host` are the seconds that this attempt's steps have
spent so far in waiting for their input and in Python. Each line is one write, so that a kill leaves
whole ones. worker-N.now holds such a line of this moment, at most a quarter of a second old, or a
twentieth behind a step: where a killed worker was last seen. The next attempt begins with it,
and with what its control group has killed for memory so far.
"""

from __future__ import annotations

import contextlib
import enum
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from preprocess.shell.errors import DataError
from preprocess.shell.json_text import json_text
from preprocess.shell.regular_files import read_json
from trainer.monitoring.memory_pressure import killed_for_memory

BEAT_SECONDS = 0.25
# Of the time since an attempt began, that in its steps, less what they waited for their input.
GOODPUT = "attempt_goodput"
STEP_SECONDS = 0.05  # between two notes of steps: a note costs some 20 us
NOW_BYTES = 160  # of the note, which is written over in place


class Activity(enum.StrEnum):
    """What a worker is in; `END` is the end of an attempt that was not killed."""

    START = "start"  # the interpreter, imports, the flags
    PEERS = "peers"  # waiting for the other workers
    BUILD = "build"  # devices, model, readers
    RESTORE = "restore"
    TABLE = "table"  # the image table, or the first batch if there is none
    COMPILE = "compile"  # the first step, which is traced and compiled
    STEPS = "steps"
    VARIANT = "variant"  # waiting for the follower's next variant
    VALIDATION = "validation"
    SAVING = "saving"  # a copy of the state, which is written during the next steps
    WRITING = "writing"  # waiting until a state is on the disk
    CALLBACKS = "callbacks"  # TensorBoard, stopping, metrics.jsonl
    PROFILER = "profiler"
    CLOSING = "closing"  # what ends with the steps
    REPORT = "report"
    END = "end"


class Timeline:
    """Writes one attempt of one worker.

    A run does not end because its timeline cannot be written: from then on there is none.

    Args:
      path: of the file, which earlier attempts have begun; None = nothing is written.
      started: when this attempt began, in seconds since 1970; None = now.
    """

    def __init__(self, path: Path | None, started: float | None = None) -> None:
        self._path = path
        self._file, self._now = -1, -1
        self._started = started
        self._activity = Activity.START
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._step, self._waited, self._host = -1, 0.0, 0.0
        self._first = -1
        self._due = 0.0
        self._began, self._entered, self._in_steps = 0.0, 0.0, 0.0

    def __enter__(self) -> Timeline:
        if self._path is None:
            return self
        self._began = self._entered = time.monotonic()
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            before = read_note(self._path)
            flags = os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._file = os.open(self._path, flags | os.O_WRONLY | os.O_APPEND, 0o644)
            self._now = os.open(note_path(self._path), flags | os.O_WRONLY, 0o644)
            started = time.time() if self._started is None else self._started
            self._began -= time.time() - started
            # A process that was started before the last one ended has nothing to do with the wait.
            if before:
                started = max(started, float(before["at"]))
            killed = killed_for_memory()
            self._write(
                Activity.START, at=started, attempt=True, before=before, memory_kills=killed
            )
            self._thread = threading.Thread(target=self._beat, name="timeline", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        if self._thread:
            self._thread.join()
        with self._lock:
            self._write(Activity.END, finished=kind is None)
            self._close()

    def enter(self, activity: Activity) -> None:
        """From now on the worker is in another activity."""
        with self._lock:
            now = time.monotonic()
            if self._activity is Activity.STEPS:
                self._in_steps += now - self._entered
            self._activity, self._entered = activity, now
            self._write(activity)

    @property
    def has_stepped(self) -> bool:
        """Whether this attempt has taken a step."""
        return self._step > self._first

    def goodput(self) -> float | None:
        """GOODPUT by now; None if nothing is written, or no step has been taken.

        Steps that the next attempt takes again are known to it alone, and are counted here.
        """
        if self._file < 0 or self._step < 0:
            return None
        now = time.monotonic()
        here = now - self._entered if self._activity is Activity.STEPS else 0.0
        good, passed = self._in_steps + here - self._waited, now - self._began
        return min(1.0, max(0.0, good) / passed) if passed > 0 else None

    @contextlib.contextmanager
    def during(self, activity: Activity) -> Iterator[None]:
        """The same for a block, after which the one before continues."""
        before = self._activity
        self.enter(activity)
        try:
            yield
        finally:
            self.enter(before)

    def stepped(self, step: int, waited: float = 0.0, host: float = 0.0) -> None:
        """How far the steps are, and what those of this attempt have waited and left to Python."""
        self._step, self._waited, self._host = step, waited, host
        if self._first < 0:
            self._first = step
        now = time.monotonic()
        if now >= self._due:
            self._due = now + STEP_SECONDS
            self._note()

    def _beat(self) -> None:
        while not self._over.wait(BEAT_SECONDS):
            self._note()

    def _note(self) -> None:
        with self._lock:
            if self._now >= 0:
                text = json_text(self._line(self._activity, time.time()))
                with contextlib.suppress(OSError):
                    os.pwrite(self._now, f"{text:<{NOW_BYTES - 1}}\n".encode(), 0)

    def _write(self, activity: Activity, at: float | None = None, **more: object) -> None:
        if self._file < 0:
            return
        text = json_text(self._line(activity, time.time() if at is None else at) | more) + "\n"
        if activity is Activity.START:
            text = "\n" + text  # the last line of an attempt that was killed may be torn
        try:
            os.write(self._file, text.encode())
        except OSError:
            self._close()

    def _line(self, activity: Activity, at: float) -> dict[str, object]:
        line: dict[str, object] = {"at": round(at, 3), "activity": activity.value}
        if self._step >= 0:
            line |= {
                "step": self._step,
                "waited": round(self._waited, 4),
                "host": round(self._host, 4),
            }
        return line

    def _close(self) -> None:
        for file in (self._file, self._now):
            if file >= 0:
                os.close(file)
        self._file = self._now = -1


def note_path(path: Path) -> Path:
    """Where the note of this moment stands, next to a timeline."""
    return path.with_suffix(".now")


def read_note(path: Path) -> dict[str, Any] | None:
    """Where the last attempt of a timeline was last seen; None if that is not known."""
    try:
        note = read_json(note_path(path), 4 * NOW_BYTES)
        Activity(note["activity"]), float(note["at"])
    except (OSError, DataError, ValueError, TypeError, KeyError):
        return None
    return note
