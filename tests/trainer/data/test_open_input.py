"""An input that takes long to close: neither what follows nor the end of a process waits."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import weakref

import pytest
import tensorflow as tf

from tests.trainer.conftest import strategy
from trainer.data.open_input import OpenInput
from trainer.workers import devices


class Slow:
    """Three elements, and an end that waits for an event."""

    def __init__(self, may_end):
        self._may_end, self._rest = may_end, iter(range(3))

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._rest)

    def __del__(self):
        assert self._may_end.wait(60)


def test_all_elements_come_and_the_iterator_is_there_for_a_call_that_takes_several():
    with OpenInput([1, 2, 3]) as elements:
        assert next(elements) == 1
        assert next(elements.iterator) == 2
        assert list(elements) == [3]


def test_it_is_closed_while_an_error_still_holds_the_frames_that_read_it():
    may_end = threading.Event()
    slow = Slow(may_end)
    elements, gone = OpenInput(slow), weakref.ref(slow)
    del slow

    def read(batches):
        next(batches)
        raise SystemExit(75)

    before = set(threading.enumerate())
    with pytest.raises(SystemExit) as ended, elements:
        read(elements)
    [closing] = set(threading.enumerate()) - before
    may_end.set()
    closing.join(60)
    assert not closing.is_alive() and gone() is None
    assert ended.value.code == 75


@pytest.mark.parametrize("replicas", [1, 2])
def test_closing_it_ends_the_dataset_of_every_replica(replicas):
    """Without Python's collector: no circle of references holds TensorFlow's iterator."""
    closed = threading.Event()

    def numbers():
        try:
            yield from range(1_000_000)
        finally:
            closed.set()

    def dataset(_):
        return tf.data.Dataset.from_generator(numbers, output_signature=tf.TensorSpec([], tf.int64))

    gc.disable()
    try:
        elements = OpenInput(devices.distribute(strategy(replicas), dataset, endless=True))
        for _ in range(3):
            next(elements)
        assert not closed.is_set()
        elements.close()
        assert closed.wait(120)
    finally:
        gc.enable()


def test_closing_it_twice_is_closing_it():
    elements = OpenInput([1])
    elements.close()
    elements.close()


ENDS = """
import threading
from trainer.data.open_input import OpenInput

class Endless:
    def __iter__(self): return self
    def __next__(self): return 1
    def __del__(self): threading.Event().wait()

with OpenInput(Endless()) as batches:
    next(batches)
    raise SystemExit(75)
"""


def test_python_ends_although_an_input_never_closes():
    assert subprocess.run([sys.executable, "-c", ENDS], timeout=60).returncode == 75
