"""`python -m trainer COMMAND`: a dataset directory to a trained model and its report."""

import os
import sys

# Our packages before a preprocess.py in the current folder; and never this folder itself, which is
# first where the file is started as a script (as Bazel does): its rooms would hide modules.
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [os.path.dirname(HERE), *(entry for entry in sys.path if entry != HERE)]

from preprocess.shell import cli
from preprocess.shell.own_names import keep_own_names
from trainer.compat.grpc_proxy import bypass_proxies

COMMANDS = {
    "train": "trains a configuration on a dataset; resumes where it stopped",
    "evaluate": "measures one run, or the average of several, on a split",
    "predict": "class probabilities of pictures, or the odd one out of triplets",
    "embed": "writes embeddings of pictures to a file and TensorBoard's projector",
    "neighbours": "the pictures nearest to one, as a contact sheet",
    "export": "a SavedModel that takes JPEG or PNG bytes and needs none of this code",
    "check": "checks in seconds what would stop or slow a long run",
    "capture": "a TensorBoard trace of some steps of a running training",
    "time": "where the wall-clock time of a run went, and its goodput",
    "diagnose": "where the time of a step goes, and which part to change",
    "search": "searches a space of configurations by many short runs",
    "presets": "the shipped configurations, one per line",
}


def config_as_flags(arguments: list[str]) -> list[str]:
    """`--config.KEY=VALUE` as `--override=KEY=VALUE`: absl need not know the keys."""
    ours = arguments[: cli.end_of_flags(arguments)]
    if not any(argument.lstrip("-").startswith("config") for argument in ours):
        return arguments
    from trainer.config.flags import parse_config_flags

    rest, path, overrides = parse_config_flags(arguments)
    config = [f"--config={path}"] if path is not None else []
    return [*config, *(f"--override={key}={value}" for key, value in overrides), *rest]


def main() -> None:
    """Runs the command line; `shardline-trainer`."""
    keep_own_names()
    bypass_proxies()
    cli.run("trainer", __doc__ or "", COMMANDS, config_as_flags)


if __name__ == "__main__":
    main()
