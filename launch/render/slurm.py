"""A run as a Slurm batch script for `sbatch`.

A training is one job, whose tasks form one group: if it is interrupted, or fails within its budget,
the job is requeued and continues from its saved state. Workers that share no step (those of a
search) form an array, in which each job is requeued separately. Slurm sends SIGTERM before the
time limit, so early that workers which outlive `--grace` can be killed and the attempt be judged
before Slurm ends the whole job, and before it preempts.

A follower runs in the batch step, on the node of the first task. Slurm gives all tasks the same
number of CPUs, so each asks for the follower's, too.
"""

from __future__ import annotations

import re
import shlex

from launch.backends.kinds.slurm import TO_JUDGE
from launch.plain_words import check_text
from launch.render.follower import advice, keeper
from launch.spec import Spec, quantity

_BARE = re.compile(r"[\w./:@%+,=-]*", re.ASCII)  # needs no quotes in an #SBATCH comment


def batch_script(
    spec: Spec, directory: str, python: str, attempts_folder: str, first_attempt: int, until: float
) -> str:
    """The text of the script.

    Args:
      spec: what runs.
      directory: where the command was called; relative paths refer to it.
      python: the interpreter, on a path that all nodes see.
      attempts_folder: for logs and exit codes, on a path that all nodes see.
      first_attempt: number of the first attempt; above 0 if the run has had some.
      until: seconds since the epoch after which the job is not requeued.

    Raises:
      UsageError: a path with a line feed or another control character.
    """
    for folder in (directory, attempts_folder):
        check_text("the folder", folder)
    check_text("Python at", python)
    tasks = f"--cpus-per-task={spec.cpus}"
    exports = [
        f"export {name}={shlex.quote(value)}" for name, value in (*advice(spec).items(), *spec.env)
    ]
    place = [f"--attempts={attempts_folder}", f"--first_attempt={first_attempt}"]
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
            f"--grace={spec.grace}",
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
        *(f"#SBATCH {_quoted(option)}" for option in _options(spec, directory, attempts_folder)),
        "",
        *exports,
        *_around(spec, python, attempts_folder, shlex.join(srun)),
        f"exec {shlex.join(end)}",
        "",
    ]
    return "\n".join(lines)


def _around(spec: Spec, python: str, attempts_folder: str, srun: str) -> list[str]:
    """The tasks, and a follower from before their start until after their end."""
    follower = keeper(spec, python, [f"--attempts={attempts_folder}"])
    if not follower:
        return [srun]
    # Nobody waits for its end, which a file system that hangs may delay: the attempt is judged
    # first, and Slurm kills what is left of the batch step.
    return [f"{shlex.join(follower)} &", "follower=$!", srun, 'kill "$follower"']


def _options(spec: Spec, directory: str, attempts_folder: str) -> list[str]:
    # Rounded up: Slurm counts in minutes.
    minutes = -(-(spec.time_limit or spec.deadline) // 60)
    megabytes = -(-quantity("memory", spec.memory) // 2**20 // spec.cpus)
    if spec.independent:
        tasks = [f"--array=0-{spec.workers - 1}", "--ntasks=1"]
    else:
        tasks = [f"--ntasks={spec.workers}"]
    log = "batch-%a.log" if spec.independent else "batch.log"
    options = [
        f"--job-name={spec.name}",
        *tasks,
        f"--cpus-per-task={spec.cpus + spec.augment_workers}",
        f"--mem-per-cpu={megabytes}M",
        f"--time={minutes}",
        f"--signal=TERM@{spec.grace + TO_JUDGE}",
        "--requeue",
        "--open-mode=append",
        f"--chdir={directory}",
        f"--output={_no_pattern(attempts_folder)}/{log}",
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
