"""All objects that a run submits, in order: the owner of the others comes first."""

from __future__ import annotations

import dataclasses
from typing import Any

from launch.render.network import network_policy
from launch.render.own_code import config_maps
from launch.render.services import tensorboard
from launch.spec import Spec
from preprocess.shell.errors import UsageError


def with_beam(spec: Spec) -> Spec:
    """A build with its back end's options for Beam after ` -- `; the user's options come last and
    take precedence.
    """
    options, arguments = spec.kind.beam_options, spec.arguments
    if not options:
        return spec
    at = arguments.index("--") if "--" in arguments else len(arguments)
    given = (*arguments[:at], "--", *options, *arguments[at + 1 :])
    return dataclasses.replace(spec, arguments=given)


def objects(spec: Spec) -> list[dict[str, Any]]:
    """The Kubernetes objects of a run, including its companion objects.

    Raises UsageError for a TensorBoard without a run directory to show.
    """
    if spec.verb == "tensorboard":
        return tensorboard(spec, _logdir(spec))
    spec = with_beam(spec)
    found = [*spec.kind.workers(spec), *config_maps(spec), network_policy(spec)]
    if spec.tensorboard:
        found += tensorboard(spec, _logdir(spec))
    return found


def _logdir(spec: Spec) -> str:
    logdir = spec.flag("logdir") or spec.flag("workdir")
    if not logdir:
        raise UsageError("TensorBoard needs --workdir=RUN (or --logdir=DIR) after ' -- '")
    return logdir
