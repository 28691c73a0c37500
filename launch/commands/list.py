r"""Lists the runs started from this machine, and all runs in a namespace of the cluster.

    python -m launch list [--namespace=NAMESPACE] [--json]

Newest first, with owner and age.
"""

from __future__ import annotations

import time
from typing import Any

from absl import flags

import launch.namespace
from launch.backends.base import backend_of
from launch.defaults import apply_default
from launch.namespace import NAMESPACE
from launch.runs.records import Record, names, read_record
from preprocess.shell.cli import no_arguments, print_json, say
from preprocess.shell.errors import UserError

flags.adopt_module_key_flags(launch.namespace)
_JSON = flags.DEFINE_bool("json", False, "Print one JSON object.")


def main(arguments: list[str]) -> None:
    """Prints the list."""
    no_arguments(arguments)
    apply_default(NAMESPACE.name)
    mine = [record for name in names() if (record := _readable(name))]
    known = {(record.name, record.submitted) for record in mine}
    others = [r for r in _of_cluster(NAMESPACE.value) if (r.name, r.submitted) not in known]
    records = sorted((*mine, *others), key=lambda record: -record.submitted)
    if _JSON.value:
        print_json({"runs": [_row(record) for record in records]})
        return
    now = time.time()
    for record in records:
        row = _row(record)
        print(f"{row['name']:<44}  {row['backend']:<6}  {row['owner']:<24}  "
              f"{record.age(now):>6}  {row['state']}")  # fmt: skip


def _readable(name: str) -> Record | None:
    """One that cannot be read, such as a later version's, must not hide the other runs."""
    try:
        return read_record(name)
    except UserError as error:
        say(f"run '{name}' is not listed: {error}")
        return None


def _of_cluster(namespace: str) -> list[Record]:
    """All users' runs; none without a cluster, with a message if it cannot be asked."""
    from launch.backends.cluster_records import runs_in
    from launch.backends.kube import Api, NoCluster

    try:
        return runs_in(Api(namespace, tries=1))
    except NoCluster:
        return []
    except UserError as error:
        say(f"other users' runs in namespace '{namespace}' are not listed: {error}")
        return []


def _row(record: Record) -> dict[str, Any]:
    try:
        state = _state(record)
    except UserError as error:  # an unreachable cluster must not hide the other runs
        state = f"unknown: {error}"
    return {
        "name": record.name,
        "backend": record.spec.backend,
        "owner": record.owner,
        "submitted": record.submitted,
        "state": state,
    }


def _state(record: Record) -> str:
    if not record.handle and not record.spec.kind.in_cluster:
        return "not sent"
    return backend_of(record.spec).status(record).state
