"""Saved states of a run: the newest few, and the best one separately.

    RUN/checkpoints/last/step-00001200-epoch-00006/{state.json, state.index, state.data-*,
                                                    replicas.npz, replicas-1.npz, ...,
                                                    stepped.npz}
    RUN/checkpoints/best/step-00001000-epoch-00005/...

A state is copied at its step (state_files.py), written under a temporary name, synced and renamed,
and only then is its predecessor removed: whatever happens in between, one complete state exists.
The epochs are part of the name because the states before and after an epoch's validation have the
same step; the state after a validation within an epoch is named step-...-epoch-...-validated.

Replicas differ in their BatchNorm statistics only; each worker writes those of its own replicas,
worker 0 to replicas.npz and everything else, worker N to replicas-N.npz.

If the optimizer keeps averages of the weights, the model in a state has the averages, which is
what its readers want, and stepped.npz has the weights from which training continues.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import shutil
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError

from preprocess.shell.atomic import sync_folder, write_text
from preprocess.shell.errors import ConfigError, DataError
from preprocess.shell.json_text import JsonObject
from preprocess.shell.regular_files import odd_entries, read_json
from preprocess.shell.tensorflow_text import error_reason
from trainer.models.foreign_arrays import load_npz
from trainer.models.foreign_checkpoints import check_checkpoint
from trainer.models.graph import settle_constants
from trainer.models.saved_graph import GRAPH, settle_old_state
from trainer.optimizers.averages import put
from trainer.training.replica_values import set_replica_values
from trainer.training.session import Session
from trainer.training.state_files import (
    STATE_FILE,
    STEPPED,
    StateFiles,
    checkpoint_of,
    replicas_file,
)
from trainer.workers.worker_group import ALONE, WorkerGroup

LAST, BEST = "last", "best"
STAGE = "stage"  # of state.json: the number of the run's stage
MOVING_SECONDS = 300.0  # how long a reader retries while a training removes what it reads
SEEN_SECONDS = 60.0  # until a file written by another machine is visible on shared storage
LAST_SECONDS = 10.0  # for the parts of the others when this worker's run ends

# What TensorFlow and numpy raise for files that are damaged or belong to another model.
DAMAGE = (
    tf.errors.OpError,
    OSError,
    ValueError,
    AssertionError,
    KeyError,
    IndexError,  # TensorFlow raises it for a truncated file
    EOFError,
    zipfile.BadZipFile,
    DecodeError,
    zlib.error,
)


class Checkpoints:
    """The states below RUN/checkpoints."""

    def __init__(
        self,
        root: str | os.PathLike[str],
        keep: int = 1,
        workers: WorkerGroup = ALONE,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Takes the folder shared by all workers, the number of states to keep, the workers, and a
        function that raises if this process may no longer write here.
        """
        self._root = Path(root)
        self._keep = keep
        self._workers = workers
        self._check = check

    def states(self, kind: str) -> list[Path]:
        """Folders of complete states, newest first."""
        folder = self._root / kind
        found = folder.glob("step-*") if folder.is_dir() else ()
        return sorted((p for p in found if (p / STATE_FILE).is_file()), reverse=True)

    def save(self, kind: str, session: Session, state: JsonObject) -> None:
        """Writes model, optimizer and `state`, whose "step" and "epochs" name the folder, and
        returns when they are on the disk; saver.py does it during the next steps.

        All workers must call this. Each writes its own part, and the state gets its final name
        when all parts are there.

        Raises:
          ConfigError: the workers do not write to the same folder.
          OSError: it cannot be written, or the run directory is gone, which is not made again.
        """
        with contextlib.closing(self.copied(session)) as files:
            self.save_copy(kind, files, {**state, **session.graphs})

    def save_copy(self, kind: str, files: StateFiles, state: JsonObject) -> None:
        """save() of a state that was copied before; `state` is all of its JSON part."""
        name = name_of(state)
        self.write_part(kind, name, files, json.dumps(state))
        self._workers.barrier()
        self.publish(kind, name, all_written=lambda: True)

    def copied(self, session: Session) -> StateFiles:
        """This worker's part of a state, as it is now. All workers must call this."""
        return StateFiles(session, self._workers.rank)

    def write_part(self, kind: str, name: str, files: StateFiles, state: str) -> None:
        """Writes this worker's files of a state, and worker 0 its JSON text, synced to the disk.

        Raises OSError if they cannot be written, or the run directory is gone.
        """
        self._check()
        if not self._root.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self._root.parent))
        temporary = self._temporary(kind, name)
        temporary.mkdir(parents=True, exist_ok=True)
        try:
            if self._workers.chief:
                write_text(temporary / STATE_FILE, state)
            files.write(temporary)
        except Exception:  # such as a full disk, which must not fill up further
            self.drop_part(kind, name)
            raise

    def drop_part(self, kind: str, name: str) -> None:
        """Removes what this worker has written of a state that will never be whole."""
        temporary = self._temporary(kind, name)
        if self._workers.chief:
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            (temporary / replicas_file(self._workers.rank)).unlink(missing_ok=True)

    def publish(
        self,
        kind: str,
        name: str,
        all_written: Callable[[], bool],
        given_up: Callable[[], bool] = lambda: False,
    ) -> None:
        """On worker 0: gives a state its final name, when the parts of all workers are there, and
        removes those it replaces.

        Args:
          kind: of the state.
          name: of its folder.
          all_written: whether all workers have written their part by now.
          given_up: whether this worker's run ends, so that missing ones may never come.

        Raises:
          ConfigError: the workers do not write to the same folder.
          OSError: as write_part().
        """
        if not self._workers.chief:
            return
        folder, temporary = self._root / kind, self._temporary(kind, name)
        if not self._is_complete(temporary, all_written, given_up):
            return
        self._check()  # the other parts may have taken long, and others are removed below
        sync_folder(temporary)
        final = folder / name
        if final.exists():  # damaged, or left by a lost attempt, before whose step this run resumed
            shutil.rmtree(final)
        temporary.rename(final)
        sync_folder(folder)
        # States newer than the one just written were left by a lost attempt.
        states = sorted(folder.glob("step-*"), reverse=True)
        older = [path for path in states if path.name < final.name]
        keep = self._keep if kind == LAST else 1
        for path in states:
            if path != final and path not in older[: keep - 1]:
                shutil.rmtree(path)

    def drop_torn(self) -> None:
        """Removes partial states of lost attempts; call it before any worker saves."""
        if self._workers.chief:
            for torn in (t for kind in (LAST, BEST) for t in (self._root / kind).glob("tmp-*")):
                shutil.rmtree(torn)

    def _temporary(self, kind: str, name: str) -> Path:
        return self._root / kind / f"tmp-{name}"

    def _is_complete(
        self, temporary: Path, all_written: Callable[[], bool], given_up: Callable[[], bool]
    ) -> bool:
        """Waits until every worker's part is there; False if that is given up, LAST_SECONDS later.

        Raises ConfigError if one cannot be seen SEEN_SECONDS after all have been written.
        """
        deadline = ending = math.inf
        while True:
            present = _names(temporary)
            missing = [n for n in range(self._workers.size) if replicas_file(n) not in present]
            if not missing:
                return True
            if ending == math.inf and given_up():
                ending = time.monotonic() + LAST_SECONDS
            if time.monotonic() > ending:
                return False
            if deadline == math.inf and all_written():
                deadline = time.monotonic() + SEEN_SECONDS
            if time.monotonic() > deadline:
                raise ConfigError(
                    f"--workdir: the part of worker {missing[0]} is missing from '{temporary}' "
                    "of worker 0; put the run directory on storage that all workers share"
                )
            time.sleep(0.1)

    def read_state(self, path: Path) -> JsonObject:
        """The JSON part of a state; raises DataError if it is damaged."""
        try:
            state = read_json(path / STATE_FILE)
        except (OSError, DataError) as error:
            raise DataError(f"'{path}' is damaged: {error}") from None
        if not all(isinstance(state.get(name), int) for name in ("step", "epochs")):
            raise DataError(f"'{path}' is damaged: state.json is not a state")
        if not isinstance(state.get(STAGE, 0), int):
            raise DataError(f"'{path}' is damaged: state.json names no stage")
        return state

    def restore(self, path: Path, session: Session) -> JsonObject:
        """Restores a state's weights and optimizer; returns its JSON part.

        What differs between replicas is restored exactly if their number is the same; otherwise all
        replicas start from the mean.

        Raises:
          DataError: the state is damaged.
          ConfigError: the state is intact but belongs to another network.
        """
        self._check_inside(path)
        state = self.read_state(path)
        graph = session.graphs[GRAPH]
        if state.get(GRAPH, graph) != graph:
            raise ConfigError(
                f"'{path}' was saved by another network than model.backbone="
                f"{session.config.model.backbone} builds here: layers, their constants or shapes "
                "differ; use the versions of trainer and Keras that config.json names"
            )
        replicas = session.strategy.num_replicas_in_sync
        same = (state.get("replicas", replicas), state.get("workers", 1)) == (
            replicas,
            self._workers.size,
        )
        try:
            checkpoint = checkpoint_of(session)
            check_checkpoint(str(path / "state"))
            checkpoint.read(str(path / "state")).assert_existing_objects_matched().expect_partial()
            if same:
                values = load_npz(path / replicas_file(self._workers.rank))
                set_replica_values(session.model, values)
            if getattr(session.model, "optimizer", None) and (path / STEPPED).is_file():
                put(session.model.trainable_variables, list(load_npz(path / STEPPED).values()))
            if GRAPH not in state:
                settle_old_state(session.model, session.config.model.weights)
            settle_constants(session.model)
        except DAMAGE as error:
            first = error_reason(error) or type(error).__name__
            raise DataError(f"'{path}' cannot be restored: {first}") from None
        return state

    def _check_inside(self, path: Path) -> None:
        """Raises DataError if a state is a link that leads out of the run, or holds one, a pipe
        or a device: TensorFlow would follow it, or wait forever.
        """
        try:
            odd = next(odd_entries(path), "")
        except OSError:
            return  # gone by now, or none: for who reads it to say
        if odd or not path.resolve().is_relative_to(self._root.parent.resolve()):
            raise DataError(
                f"'{path / odd}' is not read: it is a link to another place, a pipe or a device"
            )

    def load_weights(self, kind: str, session: Session) -> JsonObject:
        """Restores the weights of the newest state of a kind into a model without optimizer.

        A running training may remove a state while it is read; then the newest one at that time is
        read.

        Returns:
          The state's JSON part.

        Raises:
          DataError: there is no such state, or it is damaged; names an intact one of the other
          kind. ConfigError: it belongs to another network.
        """
        deadline = time.monotonic() + MOVING_SECONDS
        while True:
            states = self.states(kind)
            if not states:
                raise DataError(f"no {kind} checkpoint below '{self._root}'; train the run first")
            try:
                return self.restore(states[0], session)
            except DataError as error:
                if states[0] in self.states(kind) or time.monotonic() > deadline:
                    raise DataError(f"{error}{self._whole_one(kind, session)}") from None

    def _whole_one(self, damaged: str, session: Session) -> str:
        """Suggests the state of the other kind if that one is intact; else ""."""
        other = BEST if damaged == LAST else LAST
        for path in self.states(other)[:1]:
            with contextlib.suppress(DataError):
                self.restore(path, session)
                return f"; '{path}' is intact: give --checkpoint={other}"
        return ""


def name_of(state: JsonObject) -> str:
    """The name of a state's folder."""
    name = f"step-{state['step']:08d}-epoch-{state['epochs']:05d}"
    if state["step"] == state.get("validated", 0) > 0:
        name += "-validated"  # which sorts behind the state without
    return name


def _names(folder: Path) -> list[str]:
    """What a folder lists: a look-up by name may be answered from a stale cache."""
    return os.listdir(folder)
