"""`python -m launch COMMAND`: the builder and the trainer, on this machine or on a cluster.

Project-wide defaults go in `.launch.toml` (launch/defaults.py describes it).
"""

import os
import sys

# Our packages before a preprocess.py in the current folder; and never this folder itself, which
# comes first if the file is started as a script (as Bazel does): its rooms would hide other
# modules.
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [os.path.dirname(HERE), *(entry for entry in sys.path if entry != HERE)]

from preprocess.shell import cli
from preprocess.shell.own_names import keep_own_names

COMMANDS = {
    "train": "starts a training run",
    "search": "starts a search: many processes, one study",
    "preprocess": "starts a build of a dataset",
    "tensorboard": "shows a run in TensorBoard",
    "status": "a run's state, ranks, step, remaining time, goodput",
    "logs": "the logs of a run's ranks",
    "why": "one line: why a run waits, or which rank failed first and how",
    "wait": "waits for the end of a run",
    "stop": "ends a run for good",
    "suspend": "stops the workers of a run, which save",
    "resume": "continues a suspended run",
    "list": "runs started from this machine, and all runs of a namespace",
    "render": "prints what a verb would submit, and submits nothing",
    "check": "checks before submitting whether a run would start and could write",
    "rehearse": "runs a manifest as local processes: what happens when a rank fails",
    "replay": "starts a run again under another name",
    "diff": "how two runs differ",
}


def underscored(arguments: list[str]) -> list[str]:
    """`--dry-run` as `--dry_run`, up to ` -- `: people write both."""
    end = cli.end_of_flags(arguments)
    found = []
    for argument in arguments[:end]:
        name, equals, value = argument.partition("=")
        if name.startswith("--"):
            name = "--" + name[2:].replace("-", "_")
        found.append(name + equals + value)
    return [*found, *arguments[end:]]


def main() -> None:
    """Runs the command line; `shardline-launch`."""
    keep_own_names()
    sys.argv[1:] = underscored(sys.argv[1:])
    cli.run("launch", __doc__ or "", COMMANDS)


if __name__ == "__main__":
    main()
