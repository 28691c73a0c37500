"""`python -m MODULE ...` without the seconds that importing TensorFlow and Beam takes.

The command runs in a process of its own, forked from a server (that of multiprocessing) that has
imported tests/preloaded.py. It has the arguments, environment, folder, standard streams, signals
and exit code of a process that was started, so a test sees no difference but in what happens at
import and after the last line. What a test asserts of those, of start-up noise or of processes
that a command starts in turn needs subprocess itself; README.md's commands are run so as well.
"""

from __future__ import annotations

import atexit
import inspect
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing import reduction
from typing import Any

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["tests.preloaded"])


class Popen(subprocess.Popen[str]):
    """`subprocess.Popen([sys.executable, "-m", MODULE, ...])` by a fork."""

    def __init__(self, arguments: Sequence[str], **options: Any) -> None:
        assert arguments[0] == sys.executable and arguments[1] == "-m", arguments
        super().__init__([*map(str, arguments)], **{"text": True, **options})

    def _execute_child(self, *arguments: Any) -> None:  # the one place where Popen starts anything
        wanted = inspect.signature(super()._execute_child).bind(*arguments).arguments
        streams = [wanted[name] for name in ("p2cread", "c2pwrite", "errwrite")]
        self._process = _SERVER.Process(
            target=_run_module,
            args=(
                wanted["args"][2:],
                str(wanted["cwd"] or os.getcwd()),
                dict(os.environ if wanted["env"] is None else wanted["env"]),
                [_Descriptor(stream) if stream >= 0 else None for stream in streams],
                wanted["start_new_session"],
            ),
            daemon=True,
        )
        self._process.start()
        assert self._process.pid
        self.pid = self._process.pid
        self._child_created = True
        ends = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(wanted[name] for name in ends))  # type: ignore[attr-defined]

    def _internal_poll(self, **_: Any) -> int | None:
        if self.returncode is None and self._child_created:
            self.returncode = self._process.exitcode
        return self.returncode

    def _wait(self, timeout: float | None) -> int:
        if self.returncode is None:
            self._process.join(timeout)
            self.returncode = self._process.exitcode
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return self.returncode


def run(
    arguments: Sequence[str], timeout: float = 300, **options: Any
) -> subprocess.CompletedProcess[str]:
    """`subprocess.run(..., capture_output=True, text=True)` by a fork."""
    with Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options) as process:
        try:
            stdout, stderr = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)


class _Descriptor:
    """A file descriptor on its way to the new process."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __reduce__(self) -> Any:
        return _received, (reduction.DupFd(self.number),)


def _received(descriptor: Any) -> int:
    return descriptor.detach()


def _run_module(
    words: list[str],
    folder: str,
    environment: Mapping[str, str],
    streams: list[int | None],
    own_session: bool,
) -> None:
    """In the new process: `python -m WORDS`."""
    for number, stream in enumerate(streams):
        if stream is not None:
            os.dup2(stream, number)
            os.close(stream)
    # Without the buffers, and the guesses at a terminal, of the server's.
    sys.stdout = sys.__stdout__ = os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.__stderr__ = os.fdopen(2, "w", buffering=1, closefd=False)
    if own_session:
        os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["-m", *words[1:]]
    try:
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()
