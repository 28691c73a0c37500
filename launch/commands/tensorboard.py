r"""Shows curves, histograms, graph and traces of a run in TensorBoard.

    python -m launch tensorboard RUN [--port=6006]

RUN is a run started by `launch`, or a run directory (also gs://...). TensorBoard runs on this
machine, on localhost. For a run in a cluster, the port of a TensorBoard there is forwarded: its own
(`launch train --tensorboard`), or one that mounts the volume of its run directory
(`kubectl apply -k k8s`). Ctrl-C ends it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import PurePath

from absl import flags

import launch.commands.one_run
from launch import ports
from launch.commands.one_run import YES, find_run
from launch.foreign import confirmed
from launch.render.labels import COMPONENT
from launch.render.services import TENSORBOARD
from launch.runs.records import Record
from preprocess.shell.cli import say
from preprocess.shell.errors import UsageError

flags.adopt_module_key_flags(launch.commands.one_run)
_PORT = flags.DEFINE_integer(
    "port", ports.TENSORBOARD, "Port of this machine.", lower_bound=1, upper_bound=65535
)


def main(arguments: list[str]) -> None:
    """Runs TensorBoard or forwards its port, until it is stopped."""
    if len(arguments) != 1:
        raise UsageError("launch tensorboard RUN: give one name or run directory")
    command = viewer(arguments[0], _PORT.value)
    say(f"http://localhost:{_PORT.value} (Ctrl-C ends it)")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with subprocess.Popen(command, env={"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ}) as program:
            try:
                code = program.wait()
            except KeyboardInterrupt:
                program.terminate()  # it would otherwise survive SIGTERM, and keep the port
                return
    except FileNotFoundError:
        raise UsageError(f"{command[0]} is not installed on this machine") from None
    if code:
        raise UsageError(f"{command[0]} ended with {code}; is port {_PORT.value} free?")


def viewer(run: str, port: int) -> list[str]:
    """The command that shows a run; raises UsageError if there is none."""
    if "://" in run or os.path.isdir(os.path.join(run, "tensorboard")):
        return _here(run, port)
    record = find_run(run)
    if record.spec.kind.in_cluster and "://" not in record.workdir:
        confirmed("tensorboard", record, YES.value)
        target = f"service/{_service(record)}"
        forward = f"{port}:{ports.TENSORBOARD}"
        return ["kubectl", "port-forward", f"--namespace={record.spec.namespace}", target, forward]
    if not record.workdir:
        raise UsageError(f"run '{run}' has no --workdir, so there is nothing to show")
    return _here(record.workdir, port)


def _service(record: Record) -> str:
    """A TensorBoard in the cluster that can read a run's directory; raises UsageError."""
    if record.spec.tensorboard or record.spec.verb == "tensorboard":
        return f"{record.name}-{TENSORBOARD}"
    from launch.backends.kube import Api

    directory = record.spec.flag("workdir")
    claims = {m.claim for m in record.spec.mounts if PurePath(directory).is_relative_to(m.path)}
    for deployment in Api(record.spec.namespace).find("Deployment", {COMPONENT: TENSORBOARD}):
        volumes = deployment["spec"]["template"]["spec"].get("volumes") or ()
        if claims & {(v.get("persistentVolumeClaim") or {}).get("claimName") for v in volumes}:
            return str(deployment["metadata"]["name"])
    raise UsageError(
        f"no TensorBoard in namespace '{record.spec.namespace}' sees the run directory "
        f"'{directory}' of '{record.name}'; `launch train --tensorboard` starts one with a run, "
        "`kubectl apply -k k8s` one for the volume 'runs'"
    )


def _here(workdir: str, port: int) -> list[str]:
    logdir = f"{workdir.rstrip('/')}/tensorboard"
    program = [sys.executable, "-m", "tensorboard.main"]
    return [*program, f"--logdir={logdir}", "--host=localhost", f"--port={port}"]
