"""Saved states of a run: the newest few, and the best one separately.

    RUN/checkpoints/last/step-00001200-epoch-00006/{state.json, state.index, state.data-*,
                                                    replicas.npz, replicas-1.npz, ...,
                                                    stepped.npz}
    RUN/checkpoints/best/step-00001000-epoch-00005/...

A state is written under a temporary name, synced and renamed, and only then is its predecessor
removed: whatever happens in between, one complete state exists. The epochs are part of the name
because the states before and after an epoch's validation have the same step; the state after a
validation within an epoch is named step-...-epoch-...-validated.

Replicas differ in their BatchNorm statistics only; each worker writes those of its own replicas,
worker 0 to replicas.npz and everything else, worker N to replicas-N.npz.

If the optimizer keeps averages of the weights, the model in a state has the averages, which is
what its readers want, and stepped.npz has the weights from which training continues.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from preprocess.shell.atomic import sync_folder
from preprocess.shell.errors import ConfigError, DataError
from preprocess.shell.json_text import JsonObject
from preprocess.shell.regular_files import odd_entries, read_json
from preprocess.shell.tensorflow_text import error_reason
from trainer.models.foreign_arrays import load_npz
from trainer.models.foreign_checkpoints import check_checkpoint
from trainer.models.graph import settle_constants
from trainer.models.saved_graph import GRAPH, settle_old_state
from trainer.models.weight_order import weights_in_order
from trainer.optimizers.averages import put
from trainer.training.session import Session
from trainer.workers.worker_group import ALONE, WorkerGroup

LAST, BEST = "last", "best"
STAGE = "stage"  # of state.json: the number of the run's stage
STEPPED = "stepped.npz"
MOVING_SECONDS = 300.0  # how long a reader retries while a training removes what it reads
SEEN_SECONDS = 60.0  # until a file written by another machine is visible on shared storage

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
        return sorted((p for p in found if (p / "state.json").is_file()), reverse=True)

    def save(self, kind: str, session: Session, state: JsonObject) -> None:
        """Writes model, optimizer and `state`, whose "step" and "epochs" name the folder.

        All workers must call this. Each writes its own part, and the state gets its final name
        when all parts are there.

        Raises:
          ConfigError: the workers do not write to the same folder.
          OSError: it cannot be written, or the run directory is gone, which is not made again.
        """
        self._check()
        if not self._root.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self._root.parent))
        state = {**state, **session.graphs}
        folder = self._root / kind
        name = f"step-{state['step']:08d}-epoch-{state['epochs']:05d}"
        if state["step"] == state.get("validated", 0) > 0:
            name += "-validated"  # which sorts behind the state without
        temporary = folder / f"tmp-{name}"
        if self._workers.chief:
            # The other workers may already be writing into the shared folder.
            self._drop_torn(kind, keep=temporary if self._workers.size > 1 else None)
        temporary.mkdir(parents=True, exist_ok=True)
        own = temporary / _replicas_file(self._workers.rank)
        try:
            with session.averages.in_place() as stepped:
                _write(temporary if self._workers.chief else None, own, session, state, stepped)
        except Exception:  # such as a full disk, which must not fill up further
            if self._workers.chief:
                shutil.rmtree(temporary, ignore_errors=True)
            else:
                own.unlink(missing_ok=True)
            raise
        self._workers.barrier()
        if not self._workers.chief:
            return
        self._check_complete(temporary)
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
            for kind in (LAST, BEST):
                self._drop_torn(kind)

    def _drop_torn(self, kind: str, keep: Path | None = None) -> None:
        for torn in (self._root / kind).glob("tmp-*"):
            if torn != keep:
                shutil.rmtree(torn)

    def _check_complete(self, temporary: Path) -> None:
        """Raises ConfigError if another worker's part is missing from a state."""
        missing = set(range(self._workers.size))
        deadline = time.monotonic() + SEEN_SECONDS
        while missing:
            missing = {rank for rank in missing if not _has(temporary, _replicas_file(rank))}
            if missing and time.monotonic() > deadline:
                raise ConfigError(
                    f"--workdir: the part of worker {min(missing)} is missing from '{temporary}' "
                    "of worker 0; put the run directory on storage that all workers share"
                )
            if missing:
                time.sleep(0.1)

    def read_state(self, path: Path) -> JsonObject:
        """The JSON part of a state; raises DataError if it is damaged."""
        try:
            state = read_json(path / "state.json")
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
            checkpoint = _checkpoint(session)
            check_checkpoint(str(path / "state"))
            checkpoint.read(str(path / "state")).assert_existing_objects_matched().expect_partial()
            if same:
                values = load_npz(path / _replicas_file(self._workers.rank))
                _set_replica_values(session.model, values)
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


def _write(
    folder: Path | None,
    own: Path,
    session: Session,
    state: JsonObject,
    stepped: list[np.ndarray] | None,
) -> None:
    """Writes a state into a folder, and this worker's part of it into `own`, synced to disk.

    Workers other than the chief pass no folder and write their part only. `stepped` are the weights
    to continue from, if those of the model are their averages.
    """
    if folder is not None:
        _checkpoint(session).write(str(folder / "state"))
        (folder / "state.json").write_text(json.dumps(state), encoding="utf-8")
        if stepped is not None:
            np.savez(folder / STEPPED, *stepped)
    elif _components(session.model):
        # Reading the mean of variables that differ is a collective: all workers take part.
        with tempfile.TemporaryDirectory(prefix="state-") as scratch:
            _checkpoint(session).write(os.path.join(scratch, "state"))
    np.savez(own, **_replica_values(session.model))
    for file in folder.iterdir() if folder is not None else [own]:
        _sync(file)


def _replicas_file(rank: int) -> str:
    """The file name of a worker's part of a state."""
    return f"replicas-{rank}.npz" if rank else "replicas.npz"


def _has(folder: Path, name: str) -> bool:
    """Whether a folder lists a file: a look-up by name may be answered from a stale cache."""
    return name in os.listdir(folder)


def _checkpoint(session: Session) -> tf.train.Checkpoint:
    optimizer = getattr(session.model, "optimizer", None)
    parts = {"model": session.model}
    if optimizer is not None:
        parts["optimizer"] = optimizer
        if session.accumulation:
            parts["accumulation"] = session.accumulation
    return tf.train.Checkpoint(**parts)


def copy_weights(before: Session, session: Session) -> None:
    """Gives a session the weights of another stage's, each replica's own: what restore() of a state
    of that stage would; where its optimizer keeps averages, these.
    """
    taken = [weights_in_order(each.model) for each in (before, session)]
    with before.averages.in_place():
        for source, target in zip(*taken, strict=True):
            target.assign(source.numpy())
            for part, own in zip(_own_values(source), _own_values(target), strict=True):
                own.assign(part.numpy())
    settle_constants(session.model)


def differs_by_replica(model: tf.keras.Model) -> bool:
    """Whether there are variables whose value a state has of each replica."""
    return bool(_components(model))


def _components(model: tf.keras.Model) -> dict[str, list[tf.Variable]]:
    """Variables that differ between replicas (BatchNorm's statistics), with their components.

    A checkpoint holds only the mean of these; an exact resume needs each of them.
    """
    numbered = ((str(number), _own_values(each)) for number, each in enumerate(model.weights))
    return {name: values for name, values in numbered if values}


def _own_values(variable: tf.Variable) -> list[tf.Variable]:
    """Those of each replica of this process, where they may differ; else []."""
    reads_mean = getattr(variable, "synchronization", None)
    differ = reads_mean == tf.VariableSynchronization.ON_READ
    return list(getattr(variable, "values", ())) if differ else []


def _replica_values(model: tf.keras.Model) -> dict[str, np.ndarray]:
    return {
        f"{name}/{i}": component.numpy()
        for name, components in _components(model).items()
        for i, component in enumerate(components)
    }


def _set_replica_values(model: tf.keras.Model, values: Mapping[str, np.ndarray]) -> None:
    components = _components(model)
    expected = {f"{name}/{i}" for name, parts in components.items() for i in range(len(parts))}
    if expected != set(values):
        return  # the number of replicas differs: all start from the mean, which is already restored
    for name, parts in components.items():
        for i, component in enumerate(parts):
            component.assign(values[f"{name}/{i}"])


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
