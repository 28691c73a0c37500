r"""Starts a tf.data service in a Kubernetes namespace, for every run there.

    python -m launch dataservice --image=REF@sha256:... --name=shared --data_workers=8

Runs use it by --config.data.service=grpc://NAME-data-dispatcher:5050. A service of one run alone
comes with `launch train --data_workers=8`. `launch stop NAME` takes it away.
"""

from __future__ import annotations

from absl import flags

import launch.flags
import launch.start
from launch.flags import spec_from_flags
from launch.start import start
from trainer.cli import no_arguments

flags.adopt_module_key_flags(launch.flags)
flags.adopt_module_key_flags(launch.start)


def main(arguments: list[str]) -> None:
    """Starts it."""
    no_arguments(arguments)
    start(spec_from_flags("dataservice", []))
