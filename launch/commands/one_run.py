"""The argument of the commands that work on one run.

A run that this machine did not submit is looked up in the cluster, in --namespace.
"""

from __future__ import annotations

import dataclasses

from absl import flags

import launch.namespace
from launch.defaults import apply_default
from launch.foreign import IN_CLUSTER, confirmed
from launch.namespace import NAMESPACE
from launch.runs.records import Record, read_record
from preprocess.shell.errors import UsageError

flags.adopt_module_key_flags(launch.namespace)
YES = flags.DEFINE_bool(
    "yes", False, "Confirm what a command would do with the record of a run from elsewhere."
)


def one_run(command: str, arguments: list[str]) -> Record:
    """The record of the named run; raises UsageError."""
    if len(arguments) != 1:
        raise UsageError(f"launch {command} RUN: give one name or run directory")
    return confirmed(command, find_run(arguments[0]), YES.value)


def find_run(run: str) -> Record:
    """The record of a run by its name or its run directory; raises UsageError."""
    try:
        return read_record(run)
    except UsageError as unknown:
        apply_default(NAMESPACE.name)
        found, otherwise = _in_cluster(run, NAMESPACE.value)
        if found:
            return dataclasses.replace(found, found_in=IN_CLUSTER)
        raise UsageError(f"{unknown}{otherwise}") from None


def _in_cluster(run: str, namespace: str) -> tuple[Record | None, str]:
    """Another user's run, or why it was not found."""
    from launch.backends.cluster_records import run_in
    from launch.backends.kube import Api, ClusterError, NoCluster

    try:
        found = run_in(Api(namespace), run)
    except NoCluster:
        return None, ""
    except ClusterError as error:
        return None, f"; the cluster cannot be asked either: {error}"
    return found, f"; it is not in namespace '{namespace}' either"
