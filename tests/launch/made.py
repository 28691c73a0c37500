"""Specifications that the tests of rendering share."""

from __future__ import annotations

import hashlib
from typing import Any

from launch.gpus import Gpu
from launch.spec import Mount, OwnFile, Secret, Spec

IMAGE = "registry.example/shardline@sha256:" + "0123456789abcdef" * 4
ARGUMENTS = ("--config=fec_triplet", "--data=/data/fec", "--workdir=/runs/fec")


def spec(**changes: Any) -> Spec:
    """A specification of two workers, changed where it is said."""
    fields: dict[str, Any] = {
        "verb": "train",
        "name": "fec",
        "backend": "job",
        "arguments": ARGUMENTS,
        "workers": 2,
        "image": IMAGE,
    }
    return Spec(**{**fields, **changes})


def own_file(path: str, text: str) -> OwnFile:
    """A file of the user's own code as it is sent."""
    return OwnFile(path, hashlib.sha256(text.encode()).hexdigest(), text)


OWN_FILES = (
    own_file("mine/losses.py", "from parts.cost import cost\n\n\ndef confident(x, y): ...\n"),
    own_file("mine/parts/__init__.py", ""),
    own_file("mine/parts/cost.py", "cost = 'ä'\n"),
)
ON_STORAGE = ("--config=fec_triplet", "--data=gs://bucket/fec", "--workdir=gs://bucket/runs/fec")
# Pairs of {1, 2, 8 workers}, {job, jobset}, and with or without each of spot, queue, volumes and a
# TensorBoard: every pair of values is in some row.
MATRIX = {
    "job-1": spec(workers=1),
    "job-2-spot": spec(spot=True, gpu=Gpu("l4", 1)),
    "job-8-queue": spec(workers=8, queue="research", priority="high", gpu=Gpu("h100", 8)),
    "job-2-volumes": spec(
        mounts=(Mount("runs", "/runs"), Mount("data", "/data")),
        env=(("GREETING", "a $(b) $c"),),
        secrets=(Secret("tracker", "key", "TRACKER_KEY"),),
        max_restarts=0,
    ),
    "jobset-1-spot-queue": spec(backend="jobset", workers=1, spot=True, queue="research"),
    "jobset-2": spec(backend="jobset"),
    "job-1-own-code": spec(
        workers=1,
        arguments=(*ARGUMENTS, "--config.loss.name=/own/mine/losses.py:confident"),
        mounts=(Mount("runs", "/runs"),),
        own_files=OWN_FILES,
    ),
    "job-1-follower": spec(
        workers=1, augment_workers=3, augment_recipe="$(photos)", mounts=(Mount("runs", "/runs"),)
    ),
    "jobset-2-follower": spec(backend="jobset", augment_workers=2),
    "jobset-8-spot-volumes": spec(
        backend="jobset", workers=8, spot=True, mounts=(Mount("runs", "/runs"),)
    ),
    "job-1-queue-volumes-tensorboard": spec(
        workers=1,
        queue="research",
        mounts=(Mount("runs", "/runs"), Mount("data", "/data")),
        tensorboard=True,
    ),
    "job-2-queue-tensorboard": spec(queue="research", arguments=ON_STORAGE, tensorboard=True),
    "job-8-tensorboard": spec(workers=8, arguments=ON_STORAGE, tensorboard=True),
    "jobset-2-spot-tensorboard": spec(
        backend="jobset", spot=True, arguments=ON_STORAGE, tensorboard=True
    ),
}
