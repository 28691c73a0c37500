"""Saved states of a run: the newest few, and the best one apart.

    RUN/checkpoints/last/step-00001200-epoch-00006/{state.json, state.index, state.data-*,
                                                    replicas.npz}
    RUN/checkpoints/best/step-00001000-epoch-00005/...

A state is written under a temporary name, synced and renamed, and only then is the one before
dropped: whatever happens in between, one whole state is there. The epochs are part of the name
because the state before an epoch's validation and the one after it have the same step.
"""

from __future__ import annotations

import json
import os
import shutil
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from trainer.errors import DataError
from trainer.session import Session

LAST, BEST = "last", "best"

# What TensorFlow and numpy raise for files that are damaged or belong to another model.
_DAMAGE = (
    tf.errors.OpError,
    OSError,
    ValueError,
    AssertionError,
    KeyError,
    IndexError,  # what TensorFlow makes of a file that is too short
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
)


class Checkpoints:
    """The states below RUN/checkpoints."""

    def __init__(
        self,
        root: str | os.PathLike[str],
        keep: int = 1,
        write_to: str | os.PathLike[str] | None = None,
    ) -> None:
        """Takes the folder to read from, and another to write to where this is not the chief."""
        self._root = Path(root)
        self._keep = keep
        self._write_to = Path(write_to or root)

    def states(self, kind: str) -> list[Path]:
        """Folders of whole states, newest first."""
        folder = self._root / kind
        found = folder.glob("step-*") if folder.is_dir() else ()
        return sorted((p for p in found if (p / "state.json").is_file()), reverse=True)

    def save(self, kind: str, session: Session, state: dict[str, Any]) -> None:
        """Writes model, optimizer and `state`, whose "step" and "epochs" name the folder."""
        folder = self._write_to / kind
        folder.mkdir(parents=True, exist_ok=True)
        for torn in folder.glob("tmp-*"):
            shutil.rmtree(torn)
        temporary = folder / f"tmp-{os.getpid()}"
        try:
            _write(temporary, session, state)
        except Exception:  # such as a full disk, which it must not go on filling
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        final = folder / f"step-{state['step']:08d}-epoch-{state['epochs']:05d}"
        if final.exists():  # damaged, or of a life that was lost: this run went on from before it
            shutil.rmtree(final)
        temporary.rename(final)
        _sync(folder)
        # What is newer than the state just written was left by a life that was lost.
        states = sorted(folder.glob("step-*"), reverse=True)
        older = [path for path in states if path.name < final.name]
        keep = self._keep if kind == LAST else 1
        for path in states:
            if path != final and path not in older[: keep - 1]:
                shutil.rmtree(path)

    def read_state(self, path: Path) -> dict[str, Any]:
        """The JSON part of a state; raises DataError where it is damaged."""
        try:
            state: dict[str, Any] = json.loads((path / "state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"'{path}' is damaged: {error}") from None
        if not isinstance(state, dict) or not {"step", "epochs"} <= state.keys():
            raise DataError(f"'{path}' is damaged: state.json is not a state")
        return state

    def restore(self, path: Path, session: Session) -> None:
        """Puts a state's weights and optimizer back; raises DataError where it is damaged."""
        try:
            checkpoint = _checkpoint(session)
            checkpoint.read(str(path / "state")).assert_existing_objects_matched().expect_partial()
            with np.load(path / "replicas.npz") as values:
                _set_replica_values(session.model, dict(values))
        except _DAMAGE as error:
            first = str(error).splitlines()[0] if str(error) else repr(error)
            raise DataError(f"'{path}' cannot be restored: {first}") from None

    def load_weights(self, kind: str, session: Session) -> dict[str, Any]:
        """Puts the weights of the newest state of a kind into a model without optimizer.

        Returns the state's JSON part; raises DataError where there is no such state.
        """
        states = self.states(kind)
        if not states:
            raise DataError(
                f"no {kind} checkpoint below '{self._root}'; was the run trained at all?"
            )
        self.restore(states[0], session)
        return self.read_state(states[0])


def _write(folder: Path, session: Session, state: dict[str, Any]) -> None:
    """A state into a new folder, down to the disk."""
    folder.mkdir()
    _checkpoint(session).write(str(folder / "state"))
    np.savez(folder / "replicas.npz", **_replica_values(session.model))
    (folder / "state.json").write_text(json.dumps(state), encoding="utf-8")
    for file in [*folder.iterdir(), folder]:
        _sync(file)


def _checkpoint(session: Session) -> Any:
    optimizer = getattr(session.model, "optimizer", None)
    parts = {"model": session.model}
    if optimizer is not None:
        parts["optimizer"] = optimizer
    return tf.train.Checkpoint(**parts)


def _components(model: Any) -> dict[str, list[Any]]:
    """Variables that differ between replicas (BatchNorm's statistics), with their components.

    A checkpoint holds the mean of these only; for an exact restart each is needed.
    """
    found = {}
    for number, variable in enumerate(model.weights):
        reads_mean = getattr(variable, "synchronization", None)
        values = getattr(variable, "values", None)
        if reads_mean == tf.VariableSynchronization.ON_READ and values is not None:
            found[str(number)] = list(values)
    return found


def _replica_values(model: Any) -> dict[str, Any]:
    return {
        f"{name}/{i}": component.numpy()
        for name, components in _components(model).items()
        for i, component in enumerate(components)
    }


def _set_replica_values(model: Any, values: dict[str, Any]) -> None:
    components = _components(model)
    expected = {f"{name}/{i}" for name, parts in components.items() for i in range(len(parts))}
    if expected != set(values):
        return  # another number of replicas: all start from the mean, which is restored already
    for name, parts in components.items():
        for i, component in enumerate(parts):
            component.assign(values[f"{name}/{i}"])


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
