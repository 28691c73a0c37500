"""Kubernetes JobSets, which count restarts of all workers together."""

from __future__ import annotations

from launch.backends.kinds import job
from launch.backends.kinds.kind import Kind

KIND = Kind(
    name="jobset",
    description="a JobSet of Kubernetes, which restarts all workers together",
    verbs=("train",),
    implementation="launch.backends.cluster:Cluster",
    check=job.check,
    in_cluster=True,
    workload="launch.render.jobset:workload",
    host="{name}-worker-0",
    sends_own_files=True,
    rehearsed=True,
    follows=True,
    operators=(("JobSet", "JobSet's operator, or use --backend=job"),),
)
