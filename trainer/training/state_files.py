"""One worker's files of a state: copied into memory at a step, then written to a folder.

The copy is what the steps wait for. TensorFlow makes its own files in its file system in memory
(`ram://`), so that they are those that `tf.train.Checkpoint` reads; the others are bytes.
"""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import numpy as np
import tensorflow as tf

from preprocess.shell.atomic import replacing, write_bytes
from trainer.training.replica_values import differs_by_replica, replica_values
from trainer.training.session import Session

STATE_FILE = "state.json"
STEPPED = "stepped.npz"
_PREFIX = "state"  # of TensorFlow's files
_CHUNK = 4 << 20
_numbers = itertools.count()  # of the folders in memory of this process


class StateFiles:
    """A copy of a session's state, as large as its variables. Close it to give the memory back."""

    def __init__(self, session: Session, rank: int) -> None:
        """Copies the part of worker `rank`; worker 0 has everything but other workers' replicas.

        All workers must come here: reading the mean of variables that differ is a collective.
        """
        # TensorFlow lists by prefix: no name may begin with another one.
        self._folder = f"ram://states-{next(_numbers):09d}"
        self._arrays: dict[str, bytes] = {}
        try:
            with session.averages.in_place() as stepped:
                if rank == 0 or differs_by_replica(session.model):
                    checkpoint_of(session).write(f"{self._folder}/{_PREFIX}")
                self._arrays[replicas_file(rank)] = _npz(**replica_values(session.model))
            if rank:
                self._drop_folder()
            elif stepped is not None:
                self._arrays[STEPPED] = _npz(*stepped)
        except BaseException:
            self.close()
            raise

    def write(self, folder: Path) -> None:
        """Writes them, each under its name when it is whole and on the disk."""
        names = tf.io.gfile.listdir(self._folder) if tf.io.gfile.isdir(self._folder) else []
        for name in names:
            with (
                replacing(folder / name) as temporary,
                open(temporary, "wb") as file,
                tf.io.gfile.GFile(f"{self._folder}/{name}", "rb") as copy,
            ):
                while chunk := copy.read(_CHUNK):
                    file.write(chunk)
        for name, content in self._arrays.items():  # the part that worker 0 looks for comes last
            write_bytes(folder / name, content)

    def close(self) -> None:
        """Gives back the memory."""
        self._arrays.clear()
        self._drop_folder()

    def _drop_folder(self) -> None:
        if tf.io.gfile.isdir(self._folder):
            tf.io.gfile.rmtree(self._folder)


def replicas_file(rank: int) -> str:
    """The file name of a worker's own replicas in a state."""
    return f"replicas-{rank}.npz" if rank else "replicas.npz"


def checkpoint_of(session: Session) -> tf.train.Checkpoint:
    """What TensorFlow saves and restores of a session."""
    optimizer = getattr(session.model, "optimizer", None)
    parts = {"model": session.model}
    if optimizer is not None:
        parts["optimizer"] = optimizer
        if session.accumulation:
            parts["accumulation"] = session.accumulation
    return tf.train.Checkpoint(**parts)


def _npz(*arrays: np.ndarray, **named: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, *arrays, **named)
    return buffer.getvalue()
