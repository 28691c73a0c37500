"""A lock on an object store: an object that only one process can create, kept alive by renewing it.

Taken by creating the lock object with the precondition that there is none; renewed every
HEARTBEAT_SECONDS by replacing it with the precondition that nobody else has; given back by
deleting it under the same precondition. A process that was killed leaves the object behind. The
next one sees at once that its process is gone where both ran on the same machine; else it watches
for EXPIRY_SECONDS whether the object is renewed, by its own clock, and takes over with the
precondition that it was not. Clocks of different machines are never compared.

What it guarantees: of processes that ask at the same time exactly one gets the lock. A holder that
was taken for dead, because it could not renew for EXPIRY_SECONDS (a frozen machine, a network cut),
finds out at its next renewal and ends at once. What it does not: between its waking and that
renewal, HEARTBEAT_SECONDS at the most, such a holder may still write. `check()` renews there and
then; it is called before a manifest is published.
"""

from __future__ import annotations

import contextlib
import io
import os
import threading
import time
from collections.abc import Iterator

from google.api_core.exceptions import PreconditionFailed

from preprocess.shell.cli import say
from preprocess.shell.errors import StorageError
from preprocess.shell.holder import Holder
from preprocess.storage import gcs
from preprocess.storage.contract import LockHeld

HEARTBEAT_SECONDS = 10.0
EXPIRY_SECONDS = 45.0  # four heartbeats, and half of one for the request itself
WATCH_SECONDS = 2.0  # between two looks at a lock that someone else holds


class LeaseLost(StorageError):
    """Another process took the lock over, or someone removed it."""


class Lease:
    """A lock object that this process created, and the generation it was last renewed to."""

    def __init__(self, path: str, holder: Holder, generation: int) -> None:
        self._path = path
        self._holder = holder
        self._generation = generation
        self._busy = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Renews the lock; raises LeaseLost if another process has it now."""
        with self._busy:
            try:
                self._generation = _put(self._path, self._holder, self._generation)
            except PreconditionFailed:
                now = _look(self._path)
                if now is None or now[0].token != self._holder.token:
                    who = now[0] if now else "someone who has removed it"
                    raise LeaseLost(
                        f"the lock '{self._path}' was taken over by {who}: this process could not "
                        f"renew it for {EXPIRY_SECONDS:.0f} s; run the same command again later"
                    ) from None
                self._generation = now[1]  # renewed, only the answer was lost

    def release(self) -> None:
        """Gives the lock back; where that fails it expires."""
        self._ended.set()
        self._thread.join()
        with contextlib.suppress(PreconditionFailed, StorageError):
            gcs.remove(self._path, self._generation)

    def _keep(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS):
            try:
                self.check()
            except LeaseLost as error:
                say(f"stopped: {error}")
                # Not an exception somewhere: nothing more may be written from any thread.
                os._exit(error.exit_code)
            except StorageError:
                continue  # cannot be reached: whether it is still ours shows when it can


@contextlib.contextmanager
def lease(path: str, owner: str) -> Iterator[Lease]:
    """Holds the lock at `path`; raises LockHeld if a living process has it."""
    held = _take(path, Holder.this_process(owner))
    try:
        yield held
    finally:
        held.release()


def _take(path: str, holder: Holder) -> Lease:
    watched: tuple[int, float] | None = None  # generation, and until when it may be renewed
    while True:
        with contextlib.suppress(PreconditionFailed):
            return Lease(path, holder, _put(path, holder, 0))
        found = _look(path)
        if found is None:
            continue  # given back just now
        other, generation = found
        if other.token == holder.token:  # ours: only the answer was lost
            return Lease(path, holder, generation)
        if watched is None and not other.gone:
            say(f"'{path}' is held by {other}; watching for up to {EXPIRY_SECONDS:.0f} s")
            watched = generation, time.monotonic() + EXPIRY_SECONDS
        if watched is not None and generation != watched[0]:
            raise LockHeld(
                f"{other}; if it surely is dead, `gcloud storage rm {path}` removes its lock"
            )
        if watched is None or time.monotonic() > watched[1]:
            say(f"taking over from {other}, which ended without releasing it")
            with contextlib.suppress(PreconditionFailed):
                return Lease(path, holder, _put(path, holder, generation))
        else:
            time.sleep(WATCH_SECONDS)


def _put(path: str, holder: Holder, generation: int) -> int:
    return gcs.upload(path, io.BytesIO(holder.data), generation)


def _look(path: str) -> tuple[Holder, int] | None:
    try:
        blob = gcs.known(path)
        return Holder.read(gcs.read(path, 0, None)), int(blob.generation)
    except FileNotFoundError:
        return None
