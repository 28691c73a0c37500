"""Ends this process at a deadline, whatever Python is doing.

TensorFlow joins other workers in a call that holds Python's lock, and waits there forever if one of
them died a moment before: no Python thread and no signal handler runs meanwhile. So the kernel
keeps the deadline: one timer makes faulthandler write the stacks (it needs no lock), and the next
one, a second later, calls the C library's `_exit`.
"""

from __future__ import annotations

import ctypes
import signal
import sys

STACKS_SIGNAL = signal.SIGUSR1  # handled by faulthandler, see worker_log
_STACKS_SECONDS = 1.0  # to write them
_CLOCK_MONOTONIC = 1
_SIGEV_SIGNAL, _SIGEV_THREAD = 0, 2


class _Event(ctypes.Structure):
    """`struct sigevent` of Linux on 64 bits."""

    _fields_ = (
        ("value", ctypes.c_long),
        ("signo", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("function", ctypes.c_void_p),
        ("attributes", ctypes.c_void_p),
        ("padding", ctypes.c_byte * 32),
    )


class _Times(ctypes.Structure):
    """`struct itimerspec`: interval and time left, each in seconds and nanoseconds."""

    _fields_ = (
        ("interval", ctypes.c_long),
        ("interval_nanoseconds", ctypes.c_long),
        ("seconds", ctypes.c_long),
        ("nanoseconds", ctypes.c_long),
    )


class Deadline:
    """Ends the process with an exit code, a number of seconds after the last `set`.

    Does nothing on systems other than Linux.

    Args:
      code: the exit code.
    """

    def __init__(self, code: int) -> None:
        self._timers: list[ctypes.c_void_p] = []
        if sys.platform != "linux" or sys.maxsize < 2**32:
            return
        self._libc = ctypes.CDLL(None, use_errno=True)
        function = ctypes.cast(self._libc._exit, ctypes.c_void_p)
        for event in (
            _Event(signo=STACKS_SIGNAL, notify=_SIGEV_SIGNAL),
            _Event(value=code, notify=_SIGEV_THREAD, function=function),
        ):
            timer = ctypes.c_void_p()
            if self._libc.timer_create(_CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(timer)):
                raise OSError(ctypes.get_errno(), "timer_create")
            self._timers.append(timer)

    def set(self, seconds: float) -> None:
        """Ends the process in that many seconds unless set again; 0 = never."""
        for number, timer in enumerate(self._timers):
            left = seconds + number * _STACKS_SECONDS if seconds else 0.0
            times = _Times(0, 0, int(left), int(left % 1 * 1e9))
            self._libc.timer_settime(timer, 0, ctypes.byref(times), None)

    def close(self) -> None:
        """Deletes the timers."""
        for timer in self._timers:
            self._libc.timer_delete(timer)
        self._timers.clear()
