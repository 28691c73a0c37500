"""`python -m launch COMMAND`: the builder and the trainer, on this machine or on a cluster.

Flags that a project always gives stand in `.launch.toml` (launch/defaults.py says how).
"""

import sys

from trainer import cli

COMMANDS = {
    "train": "starts a training run",
    "search": "starts a search: many processes, one study",
    "preprocess": "starts a build of a dataset",
    "dataservice": "starts a tf.data service in a cluster",
    "tensorboard": "shows a run in TensorBoard",
    "status": "how a run is: state, ranks, step, time left, goodput",
    "logs": "what the ranks of a run wrote",
    "why": "one line: why a run waits, or who failed first and how",
    "wait": "waits for the end of a run",
    "stop": "ends a run for good",
    "suspend": "ends the workers of a run, which save",
    "resume": "starts the workers of a suspended run again",
    "list": "the runs that were started from this machine",
    "render": "prints what a verb would submit, and submits nothing",
    "check": "would it start, could it write? before it is submitted",
    "lint": "checks manifests by this project's rules",
    "rehearse": "runs a manifest as local processes: what happens when a rank fails",
    "replay": "starts a run again under another name",
    "diff": "how two runs differ",
}


def underscored(arguments: list[str]) -> list[str]:
    """`--dry-run` as `--dry_run`, up to ` -- `: people write both."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    found = []
    for argument in arguments[:end]:
        name, equals, value = argument.partition("=")
        if name.startswith("--"):
            name = "--" + name[2:].replace("-", "_")
        found.append(name + equals + value)
    return [*found, *arguments[end:]]


if __name__ == "__main__":
    sys.argv[1:] = underscored(sys.argv[1:])
    cli.run("launch", __doc__ or "", COMMANDS)
