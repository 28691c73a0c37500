r"""Starts a search for good settings: many processes that share one study.

    python -m launch search --backend=local|job|slurm --workers=8 --name=STUDY \
        -- --config=... --space=... --data=DATASET --workdir=DIR

What follows ` -- ` are the flags of `python -m trainer search`. Every worker takes the next
trial that nobody runs; --workdir must be a folder that all of them see. A worker that fails is
started again, and costs the trial it was at.
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
    """Starts it."""
    start(spec_from_flags("search", arguments))
