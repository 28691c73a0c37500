"""A run as a Slurm batch script for `sbatch`.

A training is one job, whose tasks form one group: if it is interrupted, or fails within its budget,
the job is requeued and continues from its saved state. Workers that share no step (those of a
search) form an array, in which each job is requeued separately. Slurm sends SIGTERM `--grace`
before the time limit, and before it preempts.
"""

from __future__ import annotations

import re
import shlex

from launch.plain_words import check_text
from launch.spec import Spec, quantity

_BARE = re.compile(r"[\w./:@%+,=-]*", re.ASCII)  # needs no quotes in an #SBATCH comment


def batch_script(
    spec: Spec, directory: str, python: str, lives: str, first_life: int, until: float
) -> str:
    """The text of the script.

    Args:
      spec: what runs.
      directory: where the command was called; relative paths refer to it.
      python: the interpreter, on a path that all nodes see.
      lives: folder for logs and exit codes, on a path that all nodes see.
      first_life: number of the first attempt; above 0 if the run has had some.
      until: seconds since the epoch after which the job is not requeued.

    Raises:
      UsageError: a path with a line feed or another control character.
    """
    for what, text in (("the folder", directory), ("the folder", lives), ("Python at", python)):
        check_text(what, text)
    tasks = f"--cpus-per-task={spec.cpus}"
    exports = [f"export {name}={shlex.quote(value)}" for name, value in spec.env]
    place = [f"--lives={lives}", f"--first_life={first_life}"]
    # Slurm kills the other tasks once the first one has ended and they had time to save or to
    # notice that a peer is gone; --kill-on-bad-exit would kill the chief while it is saving.
    srun = [
        *("srun", "--kill-on-bad-exit=0", f"--wait={spec.grace}", "--distribution=block", tasks),
        *(
            python,
            "-m",
            "launch.supervisor.slurm_step",
            "task",
            *place,
            "--",
            python,
            *spec.command[1:],
        ),
    ]
    end = [
        *(python, "-m", "launch.supervisor.slurm_step", "end", *place),
        *(f"--max_restarts={spec.max_restarts}", f"--until={until:.0f}"),
    ]
    lines = [
        "#!/bin/bash",
        *(f"#SBATCH {_quoted(option)}" for option in _options(spec, directory, lives)),
        "",
        *exports,
        shlex.join(srun),
        f"exec {shlex.join(end)}",
        "",
    ]
    return "\n".join(lines)


def _options(spec: Spec, directory: str, lives: str) -> list[str]:
    # Rounded up: Slurm counts in minutes.
    minutes = -(-(spec.time_limit or spec.deadline) // 60)
    megabytes = -(-quantity("memory", spec.memory) // 2**20 // spec.cpus)
    if spec.independent:
        tasks = [f"--array=0-{spec.workers - 1}", "--ntasks=1"]
    else:
        tasks = [f"--ntasks={spec.workers}"]
    options = [
        f"--job-name={spec.name}",
        *tasks,
        f"--cpus-per-task={spec.cpus}",
        f"--mem-per-cpu={megabytes}M",
        f"--time={minutes}",
        f"--signal=TERM@{spec.grace}",
        "--requeue",
        "--open-mode=append",
        f"--chdir={directory}",
        f"--output={_no_pattern(lives)}/{'batch-%a.log' if spec.independent else 'batch.log'}",
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
    return options


def _no_pattern(path: str) -> str:
    """Escapes a path, so that sbatch sees no %a (the array index) or other pattern in it."""
    return path.replace("%", "%%")


def _quoted(option: str) -> str:
    """An option as sbatch parses it from a comment: blanks, quotes, `#` and backslashes are special
    outside of double quotes, and inside them a backslash escapes the next character.
    """
    name, _, value = option.partition("=")
    if _BARE.fullmatch(value):
        return option
    value = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{name}="{value}"'
