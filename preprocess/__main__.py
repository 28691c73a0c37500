"""`python -m preprocess COMMAND`: pictures and tables to a dataset directory."""

import os
import sys

# Our packages before a preprocess.py in the current folder; and never this folder itself, which is
# first where the file is started as a script (as Bazel does): its rooms would hide modules.
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [os.path.dirname(HERE), *(entry for entry in sys.path if entry != HERE)]

from preprocess.shell import cli
from preprocess.shell.own_names import keep_own_names

COMMANDS = {
    "build": "a table or folders of pictures -> a dataset directory; resumes where it stopped",
    "follow": "the variants of a training's next passes, built while it trains",
    "plan": "cost and warnings of a build, before any work",
    "verify": "checks every byte of a dataset directory against its manifest",
    "info": "what is in a dataset directory",
    "diff": "how two dataset directories differ",
    "preview": "a contact sheet: one row per picture, one column per variant",
    "explain": "the operations and numbers drawn for one variant of one picture",
    "fetch": "a dataset from gs://, or the pictures of a table of URLs; checked and resumable",
    "push": "a local dataset to gs://, checked and resumable",
    "synth": "a synthetic set of faces with known expressions, to try everything on",
}


def main() -> None:
    """Runs the command line; `shardline-preprocess`."""
    keep_own_names()
    cli.run("preprocess", __doc__ or "", COMMANDS)


if __name__ == "__main__":
    main()
