r"""Starts a build of a dataset, on this machine or a cluster.

    python -m launch preprocess --backend=local|job|slurm|flink|dataflow --name=BUILD \
        -- --source=fec --csv=... --images=... --output=DATASET [-- BEAM OPTIONS]

The flags after ` -- ` are those of `python -m preprocess build`; run again, it resumes where it
stopped. local, job and slurm run it on one machine. flink starts a pod that submits it to the
Flink session cluster of k8s/flink; dataflow submits it from here (give --region and --project
among Beam's options).
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
    """Starts the build."""
    start(spec_from_flags("preprocess", arguments))
