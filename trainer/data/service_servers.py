"""The two servers of a tf.data service: a dispatcher, and workers that read and decode for it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import tensorflow as tf

from preprocess.shell.errors import RestartError, UsageError
from preprocess.shell.tensorflow_text import error_reason
from trainer.data.service import CONNECT_SECONDS, reachable, service_address

# A dispatcher forgets a plan that no training uses for this long.
GARBAGE_SECONDS = 60

Server: TypeAlias = (
    "tf.data.experimental.service.DispatchServer | tf.data.experimental.service.WorkerServer"
)


def dispatcher(port: int, work_dir: str, say: Callable[[str], None]) -> Server:
    """A started dispatcher.

    Args:
      port: to listen on; 0 = a free one.
      work_dir: folder of its journal, from which a restarted dispatcher recovers; '' = none.
      say: receives messages for people.

    Raises:
      UsageError: the port is in use, or the folder cannot be created.
    """
    if work_dir and "://" not in work_dir:
        try:
            Path(work_dir).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--work_dir='{work_dir}': {error.strerror}") from None
    if not work_dir:
        say("warning: without --work_dir, a restarted dispatcher loses the plans of its trainings")
    config = tf.data.experimental.service.DispatcherConfig(
        port=port,
        work_dir=work_dir or None,
        fault_tolerant_mode=bool(work_dir),
        job_gc_check_interval_ms=GARBAGE_SECONDS * 1000,
        job_gc_timeout_ms=GARBAGE_SECONDS * 1000,
    )
    return _started(lambda: tf.data.experimental.service.DispatchServer(config), port)


def worker(port: int, dispatcher: str, advertise: str) -> Server:
    """A started worker.

    Args:
      port: to listen on; 0 = a free one.
      dispatcher: its address, grpc://HOST:PORT.
      advertise: HOST:PORT at which trainings reach this worker; `%port%` is replaced by the port.

    Raises:
      RestartError: no dispatcher responds.
      UsageError: the port is in use.
    """
    problem = reachable(dispatcher, CONNECT_SECONDS)
    if problem:
        raise RestartError(f"--dispatcher={dispatcher}: no dispatcher responds there ({problem})")
    host, its_port = service_address(dispatcher)
    config = tf.data.experimental.service.WorkerConfig(
        dispatcher_address=f"{host}:{its_port}", worker_address=advertise, port=port
    )
    return _started(lambda: tf.data.experimental.service.WorkerServer(config), port)


def end_on_signals() -> threading.Event:
    """An event set by SIGTERM and SIGINT; create it before a server is started."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    return ended


def serve(server: Server, ended: threading.Event) -> None:
    """Waits for the event, then stops the server."""
    while not ended.wait(1):  # a wait without a timeout would block signals
        pass
    server._stop()


def _started(make: Callable[[], Server], port: int) -> Server:
    try:
        return make()
    except (RuntimeError, tf.errors.OpError) as error:
        raise UsageError(f"cannot listen on port {port}: {error_reason(error)}") from None
