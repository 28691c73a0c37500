"""Records in the cluster itself: annotations of the object that owns all others of a run.

So a run is known to machines that did not submit it, and a name that somebody else uses now is
told from one's own.
"""

from __future__ import annotations

import hashlib
import json
import time

from launch.backends.kube import Api, Missing, Object
from launch.render.labels import MANAGED_BY, NAME
from launch.runs.records import Record
from launch.spec import MALFORMED

SPEC_HASH = "shardline/spec"  # tells a second submit from another run of that name
RECORD = "shardline/record"
OWNER = "shardline/owner"
OWNERS = ("Job", "JobSet", "StatefulSet", "Deployment")  # kinds of what owns the rest of a run


def record_annotations(record: Record) -> dict[str, str]:
    """What the first object of a run says of it."""
    return {
        SPEC_HASH: mark(record),
        OWNER: record.owner,
        RECORD: json.dumps({**record.to_dict(), "handle": handle(record)}),
    }


def handle(record: Record) -> str:
    """Where a run is: back end, namespace, name."""
    return f"{record.spec.backend}:{record.spec.namespace}/{record.name}"


def mark(record: Record) -> str:
    """Equal for equal specifications."""
    text = json.dumps(record.spec.to_dict(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def annotation(o: Object, name: str) -> str:
    """One annotation; "" where there is none."""
    return str(((o.get("metadata") or {}).get("annotations") or {}).get(name, ""))


def record_of(o: Object) -> Record | None:
    """The record that an object carries; None where there is none that can be read, or where it
    is of another place.

    Whoever may write objects in one namespace could otherwise have `launch stop` and others, that
    act where the record says, act in a namespace where only the user may, or on Slurm.
    """
    try:
        record = Record.from_dict(json.loads(annotation(o, RECORD)))
    except (*MALFORMED, RecursionError):
        return None
    namespace = (o.get("metadata") or {}).get("namespace", record.spec.namespace)
    if not record.spec.kind.in_cluster or record.spec.namespace != namespace:
        return None
    return record


def is_of(o: Object, record: Record) -> bool:
    """Whether an object of the cluster is this very run, and not another of its name."""
    found = record_of(o)
    if found is None:
        return not annotation(o, RECORD)  # runs of earlier versions carry no record
    return (found.owner, found.submitted) == (record.owner, record.submitted)


def whose(o: Object) -> str:
    """`ann@laptop's, submitted 3 h ago`, as far as it is known."""
    found = record_of(o)
    if found is None:
        return "somebody's"
    return f"{found.owner or 'somebody'}'s, submitted {found.age(time.time())} ago"


def runs_in(api: Api) -> list[Record]:
    """Everybody's runs in a namespace, by their records there."""
    found = []
    for kind in OWNERS:
        try:
            objects = api.find(kind, {NAME: "shardline", MANAGED_BY: "launch"})
        except Missing:  # a kind that this cluster does not have
            continue
        found += [record for o in objects if (record := record_of(o))]
    return found


def run_in(api: Api, name: str) -> Record | None:
    """The run of a name in a namespace."""
    return next((record for record in runs_in(api) if record.name == name), None)
