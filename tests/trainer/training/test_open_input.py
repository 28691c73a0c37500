"""An input that takes long to close: neither what follows nor the end of a process waits."""

from __future__ import annotations

import subprocess
import sys
import threading
import weakref

import pytest

from trainer.training.open_input import OpenInput


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


ENDS = """
import threading
from trainer.training.open_input import OpenInput

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
