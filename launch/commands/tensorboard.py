r"""Shows curves, histograms, graph and traces of a run in TensorBoard.

    python -m launch tensorboard RUN [--port=6006]

RUN is a run that was started by `launch`, or a run directory (also gs://...). TensorBoard runs
here, on localhost; of a run in a cluster that has one beside it (`launch train --tensorboard`)
its port is forwarded. Ctrl-C ends it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from absl import flags

from launch import ports
from launch.records import Record, read_record
from launch.spec import KUBERNETES
from trainer.cli import say
from trainer.errors import UsageError

_PORT = flags.DEFINE_integer(
    "port", ports.TENSORBOARD, "Port of this machine.", lower_bound=1, upper_bound=65535
)


def main(arguments: list[str]) -> None:
    """Runs TensorBoard or forwards its port, until it is ended."""
    if len(arguments) != 1:
        raise UsageError("launch tensorboard RUN: one name or run directory")
    command = viewer(arguments[0], _PORT.value)
    say(f"http://localhost:{_PORT.value} (Ctrl-C ends it)")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with subprocess.Popen(command, env={"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ}) as program:
            try:
                code = program.wait()
            except KeyboardInterrupt:
                program.terminate()  # after SIGTERM it would go on, and keep the port
                return
    except FileNotFoundError:
        raise UsageError(f"{command[0]} is not installed on this machine") from None
    if code:
        raise UsageError(f"{command[0]} ended with {code}; is port {_PORT.value} free?")


def viewer(run: str, port: int) -> list[str]:
    """The command that shows a run; raises UsageError where there is none."""
    if "://" in run or os.path.isdir(os.path.join(run, "tensorboard")):
        return _here(run, port)
    record = read_record(run)
    if record.spec.backend in KUBERNETES and _beside(record):
        target = f"service/{record.name}-tensorboard"
        forward = f"{port}:{ports.TENSORBOARD}"
        return ["kubectl", "port-forward", f"--namespace={record.spec.namespace}", target, forward]
    if not record.workdir:
        raise UsageError(f"run '{run}' has no --workdir to look at")
    return _here(record.workdir, port)


def _beside(record: Record) -> bool:
    return record.spec.tensorboard or record.spec.verb == "tensorboard"


def _here(workdir: str, port: int) -> list[str]:
    logdir = f"{workdir.rstrip('/')}/tensorboard"
    program = [sys.executable, "-m", "tensorboard.main"]
    return [*program, f"--logdir={logdir}", "--host=localhost", f"--port={port}"]
