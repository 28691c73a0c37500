"""Kubernetes Jobs, which every cluster has."""

from __future__ import annotations

import re

from launch.backends.kinds.kind import Asked, Kind
from preprocess.shell.errors import UsageError

_DIGEST = re.compile(r"\S+@sha256:[0-9a-f]{64}")


def check(asked: Asked) -> None:
    """Requires an image digest: a cluster pulls its image, and all workers must pull the same."""
    if not asked.image:
        raise UsageError("--image is missing: a cluster pulls it; set --image=REF@sha256:...")
    if not _DIGEST.fullmatch(asked.image):
        raise UsageError(
            f"--image={asked.image}: a tag may move to another image; use the digest, "
            "REF@sha256:... (`docker buildx imagetools inspect REF` prints it)"
        )


KIND = Kind(
    name="job",
    description="an Indexed Job of Kubernetes",
    verbs=("train", "search", "preprocess", "tensorboard"),
    implementation="launch.backends.cluster:Cluster",
    check=check,
    in_cluster=True,
    sends_own_files=True,
    rehearsed=True,
    follows=True,
)
