"""States are written during the next steps: copied at their step, and written by a thread.

At most one copy is in memory and on its way; who saves again waits for it first. A state counts as
saved when wait() has returned: whoever is about to end the process calls it.
"""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor

from preprocess.shell.json_text import JsonObject
from trainer.training.checkpoints import Checkpoints, name_of
from trainer.training.session import Session
from trainer.training.state_files import StateFiles
from trainer.workers.worker_group import WorkerGroup


@dataclasses.dataclass(frozen=True)
class _Job:
    """A copy on its way to the disk: the JSON part of each kind, and what the thread does."""

    files: StateFiles
    states: Mapping[str, JsonObject]
    written: Future[None]
    published: Future[None]


class StateWriter:
    """Writes the states of a run. Every worker has one and calls the same methods at a step."""

    def __init__(self, checkpoints: Checkpoints, workers: WorkerGroup) -> None:
        self._checkpoints = checkpoints
        self._workers = workers
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="state-writer")
        self._job: _Job | None = None
        self._all_written = threading.Event()
        self._given_up = threading.Event()

    @property
    def busy(self) -> bool:
        """Whether wait() has not yet returned for the last state."""
        return self._job is not None

    @property
    def failed(self) -> bool:
        """Whether the last state could not be written, which wait() raises."""
        futures = (self._job.written, self._job.published) if self._job else ()
        return any(future.done() and future.exception() for future in futures)

    @property
    def unsaved(self) -> tuple[JsonObject, StateFiles] | None:
        """The state that could not be written: the last of its kinds, and the copy; else None."""
        if self._job is None or not self.failed:
            return None
        return [*self._job.states.values()][-1], self._job.files

    def start(self, session: Session, states: Mapping[str, JsonObject]) -> None:
        """Copies a session's state, to be written as each of these kinds in their order.

        Raises what wait() does, of the state before.
        """
        self.wait()
        texts = {
            kind: (name_of(state), json.dumps({**state, **session.graphs}))
            for kind, state in states.items()
        }
        files = self._checkpoints.copied(session)
        self._all_written.clear()
        written = self._thread.submit(self._write, files, texts)
        self._job = _Job(
            files,
            {kind: json.loads(text) for kind, (_, text) in texts.items()},
            written,
            self._thread.submit(self._publish, written, files, texts),
        )

    def wait(self) -> None:
        """Returns when what is on its way is on the disk, on all workers.

        Raises:
          UserError, OSError: it cannot be written; see Checkpoints. `unsaved` has it then.
        """
        if self._job is None:
            return
        self._job.written.result()
        self._workers.barrier()
        self._all_written.set()
        self._job.published.result()
        self._job = None

    def close(self) -> None:
        """Ends the thread when it has written what it can; parts of lost workers do not come."""
        self._given_up.set()
        self._thread.shutdown()

    @property
    def error(self) -> BaseException | None:
        """Why the last state could not be written, once it has failed."""
        futures = (self._job.written, self._job.published) if self._job and self.failed else ()
        return next((e for future in futures if (e := future.exception())), None)

    def _write(self, files: StateFiles, texts: Mapping[str, tuple[str, str]]) -> None:
        done: list[tuple[str, str]] = []
        try:
            for kind, (name, state) in texts.items():
                self._checkpoints.write_part(kind, name, files, state)
                done.append((kind, name))
        except Exception:
            for kind, name in done:  # room for others: the copy is all there is of this state
                self._checkpoints.drop_part(kind, name)
            raise

    def _publish(
        self, written: Future[None], files: StateFiles, texts: Mapping[str, tuple[str, str]]
    ) -> None:
        if written.exception():
            return
        for kind, (name, _) in texts.items():
            self._checkpoints.publish(kind, name, self._all_written.is_set, self._given_up.is_set)
        files.close()
