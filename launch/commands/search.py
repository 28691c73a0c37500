r"""Starts a hyperparameter search: many processes that share one study.

    python -m launch search --backend=local|job|slurm --workers=8 --name=STUDY \
        -- --config=... --space=... --data=DATASET --workdir=DIR

The flags after ` -- ` are those of `python -m trainer search`. Every worker takes the next free
trial; --workdir must be a folder that all of them see. A failed worker is restarted, and loses only
its current trial.
"""

from __future__ import annotations

from absl import flags

import launch.flags
import launch.start
from launch.flags import spec_from_flags
from launch.start import start

flags.adopt_module_key_flags(launch.flags)
flags.adopt_module_key_flags(launch.start)


def main(arguments: list[str]) -> None:
    """Starts the search."""
    start(spec_from_flags("search", arguments))
