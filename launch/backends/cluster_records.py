"""Records in the cluster itself: annotations of the object that owns all others of a run.

They make a run known to machines that did not submit it, and show whose run uses a name.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time

from launch.backends.kube import Api, Missing, Object
from launch.own_files import with_texts
from launch.render.labels import MANAGED_BY, NAME
from launch.render.own_code import config_map_name
from launch.runs.records import Record
from launch.spec import MALFORMED

SPEC_HASH = "shardline/spec"  # distinguishes a second submit from another run of that name
RECORD = "shardline/record"
OWNER = "shardline/owner"
EMPTY = hashlib.sha256(b"").hexdigest()  # of an empty __init__.py
OWNERS = ("Job", "JobSet", "Deployment")  # kinds of a run's first object


def record_annotations(record: Record) -> dict[str, str]:
    """What the first object of a run records about it."""
    return {
        SPEC_HASH: mark(record),
        OWNER: record.owner,
        RECORD: json.dumps({**record.to_dict(), "handle": handle(record)}),
    }


def handle(record: Record) -> str:
    """The location of a run: back end, namespace, name."""
    return f"{record.spec.backend}:{record.spec.namespace}/{record.name}"


def mark(record: Record) -> str:
    """Equal for equal specifications."""
    text = json.dumps(record.spec.to_dict(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def same_specification(record: Record, o: Object) -> bool:
    """Whether an object is of a run like this one. Its mark may be that of another version, whose
    specifications had other fields: then that of the record that it holds decides.
    """
    there = record_of(o)
    return mark(record) in (annotation(o, SPEC_HASH), there and mark(there))


def annotation(o: Object, name: str) -> str:
    """One annotation; "" if it is missing."""
    return str(((o.get("metadata") or {}).get("annotations") or {}).get(name, ""))


def record_of(o: Object) -> Record | None:
    """The record in an object's annotations; None if there is none that can be read, or if it is
    for another location.

    Otherwise anybody who may write objects in one namespace could make `launch stop` and other
    commands, which act where the record says, act in a namespace of this user, or on Slurm.
    """
    try:
        record = Record.from_dict(json.loads(annotation(o, RECORD)))
    except (*MALFORMED, RecursionError):
        return None
    namespace = (o.get("metadata") or {}).get("namespace", record.spec.namespace)
    if not record.spec.kind.in_cluster or record.spec.namespace != namespace:
        return None
    return record


def with_own_texts(record: Record) -> Record:
    """With what was in the run's own files: as recorded here, or else in its ConfigMap.

    Raises ClusterError if no API server responds.
    """
    record = record.with_own_texts()
    if all(own.text or own.sha256 == EMPTY for own in record.spec.own_files):
        return record
    try:
        found = Api(record.spec.namespace).get("ConfigMap", config_map_name(record.spec))
    except Missing:
        return record
    texts = [text for text in (found.get("data") or {}).values() if isinstance(text, str)]
    known = {hashlib.sha256(text.encode()).hexdigest(): text for text in texts}
    return dataclasses.replace(record, spec=with_texts(record.spec, known))


def is_of(o: Object, record: Record) -> bool:
    """Whether an object of the cluster is exactly this run, not another one of its name."""
    found = record_of(o)
    if found is None:
        return not annotation(o, RECORD)  # runs of earlier versions have no record
    return (found.owner, found.submitted) == (record.owner, record.submitted)


def whose(o: Object) -> str:
    """`ann@laptop's, submitted 3 h ago`, as far as known."""
    found = record_of(o)
    if found is None:
        return "somebody's"
    return f"{found.owner or 'somebody'}'s, submitted {found.age(time.time())} ago"


def runs_in(api: Api) -> list[Record]:
    """All users' runs in a namespace, by their records there."""
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
