"""What an object of a cluster says of its run is believed for its own place only."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from launch.backends.cluster_records import (
    RECORD,
    is_of,
    record_annotations,
    record_of,
    run_in,
)
from launch.runs.records import Record
from tests.launch.made import spec

HERE = "research"


def record(**changes: Any) -> Record:
    return Record(
        spec=spec(**{"namespace": HERE, **changes}), handle="", submitted=1.0, argv=(),
        directory="/home/user", commit="", versions={}, owner="ann@laptop",
    )  # fmt: skip


def carried(its_record: Record, namespace: str = HERE) -> dict[str, Any]:
    """The object in `namespace` that carries a record."""
    annotations = record_annotations(its_record)
    return {"metadata": {"name": "fec", "namespace": namespace, "annotations": annotations}}


class Api:
    """Knows the objects that it is given, as Jobs."""

    def __init__(self, *objects: dict[str, Any]) -> None:
        self._objects = objects

    def find(self, kind: str, labels: dict[str, str]) -> list[dict[str, Any]]:
        return [o for o in self._objects if kind == "Job" and labels]


def test_a_record_of_its_own_namespace_is_read():
    assert record_of(carried(record())) == dataclasses.replace(record(), handle="job:research/fec")
    assert is_of(carried(record()), record())


@pytest.mark.parametrize(
    "elsewhere",
    [
        pytest.param({"namespace": "production"}, id="another namespace"),
        pytest.param({"backend": "slurm", "image": ""}, id="Slurm"),
        pytest.param({"backend": "local", "image": "", "workers": 1}, id="this machine"),
    ],
)
def test_a_record_of_another_place_is_none(elsewhere):
    """`launch stop fec` looks in `research`, where anybody may put an object."""
    planted = carried(record(**elsewhere))
    assert record_of(planted) is None
    assert run_in(Api(planted), "fec") is None
    assert not is_of(planted, record())


def test_behind_a_planted_record_the_run_of_that_name_is_found():
    planted, own = carried(record(namespace="production")), carried(record())
    found = run_in(Api(planted, own), "fec")
    assert found
    assert found.spec.namespace == HERE


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, json.dumps({"spec": 3})])
def test_what_is_no_record_is_none(text):
    o = carried(record())
    o["metadata"]["annotations"][RECORD] = text
    assert record_of(o) is None
    # Without one it is a run of an earlier version; with an unreadable one, of somebody else.
    assert is_of(o, record()) is (text == "")
