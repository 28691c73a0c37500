"""What is written by hand and what `launch` renders, as a real API server takes it."""

from __future__ import annotations

import dataclasses

import pytest

from launch.render.objects import objects
from tests.kubernetes.cluster import ControlPlane
from tests.kubernetes.runs import K8S, Team
from tests.launch.made import MATRIX


def test_the_folder_is_applied_and_changes_nothing_the_second_time(cluster: ControlPlane):
    first = cluster.kubectl("apply", "-k", K8S).splitlines()
    second = cluster.kubectl("apply", "-k", K8S).splitlines()
    assert first
    assert [line for line in second if not line.endswith(" unchanged")] == []


@pytest.mark.parametrize("name", MATRIX)
def test_every_object_of_a_run_is_taken_as_it_is(team: Team, name: str):
    """`--dry-run=server` with strict validation: an unknown or doubled field is an error. The
    pods themselves are judged under `restricted`, which warns about a template that it would
    refuse.
    """
    spec = dataclasses.replace(MATRIX[name], namespace=team.namespace)
    team.cluster.try_out(*objects(spec))
