r"""Starts a training run on this machine, a Kubernetes cluster or Slurm.

    python -m launch train --backend=local|job|jobset|slurm --workers=4 --gpu=h100:8 \
        --image=REF@sha256:... --name=RUN [--dry_run] [--wait] [--follow] \
        -- --config=trainer/configs/NAME.py --data=DATASET --workdir=RUN

The flags after ` -- ` are those of `python -m trainer train`. Prints the run's name, which
`launch status`, `logs`, `why` and `stop` take. Workers that exit with 75 are restarted together;
64, 65, 70 and 78 end the run. With --wait it exits with 0 if the run succeeded and with 1 if it
failed.

--augment_workers=N starts `preprocess follow` with N processes next to the training, which reads
its variants (data.variants=live), and ends it with the run.
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
    """Starts the training."""
    start(spec_from_flags("train", arguments))
