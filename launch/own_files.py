"""The user's own code, FILE.py:NAME in a worker's flags, on the way into pods.

Nothing is copied there: a pod has what its image and its volumes have.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import PurePosixPath

from launch.spec import Spec
from preprocess.shell.errors import UsageError
from preprocess.shell.references import is_file_reference, split_reference

_AROUND = " ()[]'\""  # an item of a list, as a configuration key takes it


def check_own_files(spec: Spec) -> None:
    """Raises UsageError for a file that pods cannot have, if the run is in a cluster.

    A relative path depends on the folder it is used in, and an absolute one that exists here, off
    all volumes, is this machine's. Others may be in the image.
    """
    if not spec.kind.in_cluster:
        return
    for flag, reference in _references(spec):
        place, name = split_reference(reference)
        volumes = [mount.path for mount in spec.mounts]
        if any(PurePosixPath(place).is_relative_to(path) for path in volumes):
            continue
        if not os.path.isabs(place) or os.path.exists(place):
            module = os.path.basename(place).removesuffix(".py")
            raise UsageError(
                f"{flag}={reference}: pods do not have the files of this machine; copy the folder "
                f"to a volume (--volume=CLAIM:/PATH, then {flag}=/PATH/{os.path.basename(place)}:"
                f"{name}), or into the image, as a module ({flag}={module}:{name})"
            )


def _references(spec: Spec) -> Iterator[tuple[str, str]]:
    """The flags of the worker with FILE.py:NAME, of several values each one."""
    before = ""
    for argument in spec.arguments:
        flag, equals, value = argument.partition("=")
        if not equals:  # --flag VALUE
            flag, value = before, argument
        items = (item.strip(_AROUND) for item in value.split(","))
        yield from ((flag, item) for item in items if is_file_reference(item))
        before = argument
