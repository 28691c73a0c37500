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

# A dispatcher forgets a plan that no training asks for any more.
GARBAGE_SECONDS = 60

Server: TypeAlias = (
    "tf.data.experimental.service.DispatchServer | tf.data.experimental.service.WorkerServer"
)


def dispatcher(port: int, work_dir: str, say: Callable[[str], None]) -> Server:
    """A started dispatcher.

    Args:
      port: to listen on; 0 = a free one.
      work_dir: its journal, from which a restarted dispatcher goes on; '' = none.
      say: gets what a person should know.

    Raises:
      UsageError: the port is taken, or the folder cannot be made.
    """
    if work_dir and "://" not in work_dir:
        try:
            Path(work_dir).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--work_dir='{work_dir}': {error.strerror}") from None
    if not work_dir:
        say("without --work_dir a dispatcher that is restarted has forgotten its trainings")
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
      advertise: HOST:PORT at which trainings reach this worker; `%port%` stands for the port.

    Raises:
      RestartError: no dispatcher answers.
      UsageError: the port is taken.
    """
    problem = reachable(dispatcher, CONNECT_SECONDS)
    if problem:
        raise RestartError(f"--dispatcher={dispatcher}: no dispatcher answers there ({problem})")
    host, its_port = service_address(dispatcher)
    config = tf.data.experimental.service.WorkerConfig(
        dispatcher_address=f"{host}:{its_port}", worker_address=advertise, port=port
    )
    return _started(lambda: tf.data.experimental.service.WorkerServer(config), port)


def end_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set; asked for before a server is started."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    return ended


def serve(server: Server, ended: threading.Event) -> None:
    """Waits for the event, then ends the server."""
    while not ended.wait(1):  # a wait without a limit would not let a signal in
        pass
    server._stop()


def _started(make: Callable[[], Server], port: int) -> Server:
    try:
        return make()
    except (RuntimeError, tf.errors.OpError) as error:
        raise UsageError(f"cannot listen on port {port}: {error_reason(error)}") from None
