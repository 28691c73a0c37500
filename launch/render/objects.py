"""Everything a run submits, in order: what owns the rest comes first."""

from __future__ import annotations

from typing import Any

from launch.render.job import job
from launch.render.jobset import jobset
from launch.render.network import network_policy, service
from launch.spec import Spec


def objects(spec: Spec) -> list[dict[str, Any]]:
    """The Kubernetes objects of a run for `--backend=job` or `jobset`."""
    if spec.backend == "jobset":
        return [jobset(spec), network_policy(spec)]
    network = [network_policy(spec)]
    if spec.workers > 1:
        network.insert(0, service(spec))
    return [job(spec), *network]
