"""Faces by their numbers: each is the same however many others there are, and whoever draws it."""

from __future__ import annotations

import contextlib
import enum
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from preprocess.shards.encode import encode
from preprocess.shell.errors import UnavailableError
from preprocess.shell.process import die_with_parent
from preprocess.synth.expression import PROTOTYPES, draw_expression
from preprocess.synth.face import draw_face, draw_looks

QUALITY = 92
_AT_A_TIME = 100  # faces that a process draws as one job
_WORTH_A_PROCESS = 1000  # faces; starting one takes as long as some 300 of them


class Stream(enum.IntEnum):
    """What random numbers are for; every face and every block of triplets has its own."""

    FACES = 0
    TRIPLETS = 1


def random_stream(seed: int, stream: Stream, *key: int) -> np.random.Generator:
    """The random numbers of one thing of a stream."""
    sequence = np.random.SeedSequence(seed, spawn_key=(stream, *key))
    return np.random.Generator(np.random.Philox(sequence))


def face_id(number: int) -> str:
    """The id of a face, which is its file's name too."""
    return f"face_{number:05d}"


def class_of(number: int) -> int:
    """Which of the prototypes a face shows: in turn, so every run of faces has them all."""
    return number % len(PROTOTYPES)


def make_face(number: int, seed: int) -> tuple[bytes, np.ndarray]:
    """The JPEG of a face, and its expression, float64[5]."""
    rng = random_stream(seed, Stream.FACES, number)
    expression = draw_expression(list(PROTOTYPES)[class_of(number)], rng)
    looks = draw_looks(rng)
    return encode(draw_face(expression, looks, rng), "jpeg", QUALITY), expression.vector()


def write_faces(
    folder: Path, faces: int, seed: int, processes: int = 1
) -> Iterator[list[np.ndarray]]:
    """Writes the files of all faces; yields their expressions in order, some at a time.

    Args:
      folder: that takes the files.
      faces: their number.
      seed: of everything random.
      processes: that draw, at most; few faces are not worth several.

    Raises:
      UnavailableError: one of several processes was killed, or could not start.
    """
    parts = range(0, faces, _AT_A_TIME)
    jobs = [(folder, first, min(first + _AT_A_TIME, faces), seed) for first in parts]
    workers = min(processes, faces // _WORTH_A_PROCESS)
    pool = _pool(workers) if workers > 1 else None
    if pool is None:
        for job in jobs:
            yield _write(*job)
        return
    try:
        with _ctrl_c_later():
            drawn = [pool.submit(_write, *job) for job in jobs]
        for found in drawn:
            yield found.result()
    except BrokenProcessPool as broken:
        raise UnavailableError(
            f"one of the {workers} processes that draw faces was killed, perhaps for memory, or "
            "could not start; the same command starts again"
        ) from broken
    finally:
        pool.shutdown(cancel_futures=True)


def _pool(workers: int) -> ProcessPoolExecutor | None:
    """None where the system has no shared memory for several processes."""
    try:
        # Spawned, not forked: a fork would copy the locks of threads that it does not have.
        return ProcessPoolExecutor(workers, get_context("spawn"), _of_parent, (os.getpid(),))
    except (OSError, NotImplementedError):
        return None


@contextlib.contextmanager
def _ctrl_c_later() -> Iterator[None]:
    """Processes that are started in it do not hear Ctrl-C; this one does at its end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _of_parent(parent: int) -> None:
    """A worker ends with who started it, also where that one is killed, who alone hears Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(parent)


def _write(folder: Path, first: int, end: int, seed: int) -> list[np.ndarray]:
    expressions = []
    for number in range(first, end):
        encoded, numbers = make_face(number, seed)
        (folder / f"{face_id(number)}.jpg").write_bytes(encoded)
        expressions.append(numbers)
    return expressions
