"""Everything a run submits, in order: what owns the rest comes first."""

from __future__ import annotations

import dataclasses
from typing import Any

from launch import ports
from launch.render.job import job
from launch.render.jobset import jobset
from launch.render.network import network_policy, service
from launch.render.services import data_service, data_service_address, tensorboard
from launch.spec import Spec
from trainer.errors import UsageError

# The session cluster of k8s/flink: the operator names its REST service so.
FLINK_CLUSTER = "flink"
FLINK = ("--runner=FlinkRunner", f"--flink_master={FLINK_CLUSTER}-rest:{ports.FLINK_REST}")
DATAFLOW = ("--runner=DataflowRunner",)


def with_beam(arguments: tuple[str, ...], options: tuple[str, ...]) -> tuple[str, ...]:
    """Flags of a build with options for Beam, which follow ` -- `; the user's come last and win."""
    at = arguments.index("--") if "--" in arguments else len(arguments)
    return (*arguments[:at], "--", *options, *arguments[at + 1 :])


def objects(spec: Spec) -> list[dict[str, Any]]:
    """The Kubernetes objects of a run, those that stand beside it included.

    Raises UsageError for a TensorBoard without a run directory to look at.
    """
    if spec.verb == "dataservice":
        return data_service(spec, spec.data_workers or 4, shared=True)
    if spec.verb == "tensorboard":
        return tensorboard(spec, _logdir(spec))
    if spec.backend == "flink":
        spec = dataclasses.replace(spec, arguments=with_beam(spec.arguments, FLINK))
    if spec.data_workers:
        address = f"--config.data.service={data_service_address(spec)}"
        spec = dataclasses.replace(spec, arguments=(*spec.arguments, address))
    found = [jobset(spec)] if spec.backend == "jobset" else [job(spec)]
    if spec.gang and spec.backend != "jobset":
        found.append(service(spec))
    found.append(network_policy(spec))
    if spec.data_workers:
        found += data_service(spec, spec.data_workers)
    if spec.tensorboard:
        found += tensorboard(spec, _logdir(spec))
    return found


def _logdir(spec: Spec) -> str:
    logdir = spec.flag("logdir") or spec.flag("workdir")
    if not logdir:
        raise UsageError("TensorBoard needs --workdir=RUN (or --logdir=DIR) after ' -- '")
    return logdir
