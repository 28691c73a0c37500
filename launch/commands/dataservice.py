r"""Starts a tf.data service in a Kubernetes namespace, for every run there.

    python -m launch dataservice --image=REF@sha256:... --name=shared --data_workers=8

Runs use it with --config.data.service=grpc://NAME-data-dispatcher:5050. For a service of one run,
use `launch train --data_workers=8`. `launch stop NAME` deletes it.
"""

from __future__ import annotations

from absl import flags

import launch.flags
import launch.start
from launch.flags import spec_from_flags
from launch.start import start
from preprocess.shell.cli import no_arguments

flags.adopt_module_key_flags(launch.flags)
flags.adopt_module_key_flags(launch.start)


def main(arguments: list[str]) -> None:
    """Starts the service."""
    no_arguments(arguments)
    start(spec_from_flags("dataservice", []))
