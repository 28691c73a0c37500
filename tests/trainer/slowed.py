"""`python -m trainer COMMAND ...`, with something slow in one of its workers.

    python -m tests.trainer.slowed CAUSE RANK COMMAND ...

CAUSE is the name of a function of tests/trainer/bottlenecks.py.
"""

import json
import os
import sys

import pytest

from preprocess.shell import cli
from tests.trainer import bottlenecks
from trainer.__main__ import COMMANDS


def main():
    cause, rank, *arguments = sys.argv[1:]
    task = json.loads(os.environ["TF_CONFIG"])["task"]
    if task["index"] == int(rank):
        getattr(bottlenecks, cause)(pytest.MonkeyPatch())
    sys.argv[1:] = arguments
    cli.run("trainer", "", COMMANDS)


if __name__ == "__main__":
    main()
