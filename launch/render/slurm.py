"""A run as a Slurm batch script: `sbatch` takes it as it stands.

The job is one gang: when it ends with 75, or fails within its budget, it is requeued and goes
on from what it saved. Slurm sends SIGTERM `--grace` before the time limit, and before it
preempts.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from launch.spec import Spec, quantity


def batch_script(spec: Spec, directory: str, python: str, lives: str, until: float) -> str:
    """The text of the script.

    Args:
      spec: what runs.
      directory: where the command was given; relative paths in it are meant from there.
      python: the interpreter, on a path that all nodes see.
      lives: folder for logs and exit codes, on a path that all nodes see.
      until: seconds since the epoch after which the job is not requeued.
    """
    # Rounded up: a minute is the least that Slurm counts in.
    minutes = -(-(spec.time_limit or spec.deadline) // 60)
    megabytes = -(-quantity("memory", spec.memory) // 2**20 // spec.cpus)
    options = [
        f"--job-name={spec.name}",
        f"--ntasks={spec.workers}",
        f"--cpus-per-task={spec.cpus}",
        f"--mem-per-cpu={megabytes}M",
        f"--time={minutes}",
        f"--signal=TERM@{spec.grace}",
        "--requeue",
        "--open-mode=append",
        f"--chdir={directory}",
        f"--output={lives}/batch.log",
    ]
    if spec.gpu:
        kind = f"{spec.gpu.kind}:" if spec.gpu.kind else ""
        options.append(f"--gpus-per-task={kind}{spec.gpu.count}")
    for name, value in (
        ("partition", spec.partition),
        ("account", spec.account),
        ("qos", spec.priority),
    ):
        if value:
            options.append(f"--{name}={value}")
    exports = [f"export {name}={shlex.quote(value)}" for name, value in spec.env]
    task = [python, "-m", "launch.slurm_step", "task", lives, "--", *_command(spec, python)]
    last = [python, "-m", "launch.slurm_step", "end", lives, str(spec.max_restarts), f"{until:.0f}"]
    lines = [
        "#!/bin/bash",
        *(f"#SBATCH {_quoted(option)}" for option in options),
        "",
        *exports,
        # A rank that fails takes the others along; who failed first is noted by its task.
        f"srun --kill-on-bad-exit=1 --distribution=block {shlex.join(task)}",
        f"exec {shlex.join(last)}",
        "",
    ]
    return "\n".join(lines)


def _command(spec: Spec, python: str) -> Sequence[str]:
    return [python, *spec.command[1:]]


def _quoted(option: str) -> str:
    """An option as sbatch reads it from a comment: quoted where it holds a space."""
    name, _, value = option.partition("=")
    return f'{name}="{value}"' if " " in value else option
