"""A build on the Flink session cluster of k8s/flink, submitted by a Job."""

from __future__ import annotations

from launch import ports
from launch.backends.kinds import job
from launch.backends.kinds.kind import Kind

# The operator's name for the session cluster's REST service.
CLUSTER = "flink"

KIND = Kind(
    name="flink",
    description="a build on Flink in Kubernetes",
    verbs=("preprocess",),
    implementation="launch.backends.cluster:Cluster",
    check=job.check,
    in_cluster=True,
    beam_options=("--runner=FlinkRunner", f"--flink_master={CLUSTER}-rest:{ports.FLINK_REST}"),
    operators=(("FlinkDeployment", "the Flink Kubernetes operator"),),
    needs=(("Flink cluster", "FlinkDeployment", CLUSTER, "`kubectl apply -k k8s/flink`"),),
    reaches=((CLUSTER, ports.FLINK_REST),),
    # What the policy of k8s/flink admits.
    labels=(("shardline/submits", "flink"),),
)
