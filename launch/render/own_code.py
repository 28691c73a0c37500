"""The user's own code in pods: a ConfigMap of the run, mounted read-only.

A key of a ConfigMap has no `/`: the volume's items say where each file is.
"""

from __future__ import annotations

import re
from typing import Any

from launch.own_files import MOUNT
from launch.render.labels import labels
from launch.spec import OwnFile, Spec

COMPONENT = VOLUME = "own-code"
# Letters, digits, `-`, `_` and `.` are allowed, 253 of them.
_OTHER = re.compile(r"[^-._a-zA-Z0-9]")
_KEY_LENGTH = 200


def config_maps(spec: Spec) -> list[dict[str, Any]]:
    """The ConfigMap of a run's own files, if it has any."""
    if not spec.own_files:
        return []
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": config_map_name(spec),
                "namespace": spec.namespace,
                "labels": labels(spec, COMPONENT),
            },
            # Every pod of the run, restarted ones too, has the same files.
            "immutable": True,
            "data": {key: own.text for key, own in _keys(spec).items()},
        }
    ]


def config_map_name(spec: Spec) -> str:
    """The name of the ConfigMap."""
    return f"{spec.name}-{COMPONENT}"


def volumes(spec: Spec) -> list[dict[str, Any]]:
    """The volume of a pod that runs the user's code."""
    if not spec.own_files:
        return []
    items = [{"key": key, "path": own.path} for key, own in _keys(spec).items()]
    return [{"name": VOLUME, "configMap": {"name": config_map_name(spec), "items": items}}]


def volume_mounts(spec: Spec) -> list[dict[str, Any]]:
    """Where its container finds it."""
    if not spec.own_files:
        return []
    return [{"name": VOLUME, "mountPath": MOUNT, "readOnly": True}]


def _keys(spec: Spec) -> dict[str, OwnFile]:
    """The own files by their key; the number keeps keys apart whose other letters were replaced."""
    return {
        f"{number:03d}_{_OTHER.sub('_', own.path)[-_KEY_LENGTH:]}": own
        for number, own in enumerate(spec.own_files)
    }
