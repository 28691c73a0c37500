"""A namespace's quotas against what all workers of a run take of them."""

from __future__ import annotations

from typing import Any

import pytest

from launch.checks.quota import counted, quota
from launch.checks.result import FAIL, OK, WARNING
from launch.gpus import Gpu
from launch.render.objects import objects
from tests.launch.made import spec


def pod(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = objects(spec(**changes))[0]["spec"]["template"]["spec"]
    return found


def of(hard: dict[str, str], used: dict[str, str] | None = None, **changes: Any) -> dict[str, Any]:
    return {"metadata": {"name": "small"}, "spec": {"hard": hard, **changes},
            "status": {"hard": hard, "used": used or {}}}  # fmt: skip


@pytest.mark.parametrize(
    ("quotas", "state", "words"),
    [
        ([], OK, "no quota"),
        ([of({"requests.memory": "32Gi", "pods": "2"})], OK, "leave room"),
        ([of({"requests.memory": "31Gi"})], FAIL, "requests.memory 31Gi, 2 workers need 32Gi"),
        ([of({"memory": "31Gi"})], FAIL, "memory 31Gi"),  # the short name is that of requests
        ([of({"limits.memory": "16Gi"})], FAIL, "limits.memory 16Gi, 2 workers need 32Gi"),
        ([of({"cpu": "7500m"})], FAIL, "cpu 7500m, 2 workers need 8"),
        ([of({"pods": "1"})], FAIL, "pods 1"),
        ([of({"cpu": "10"}, {"cpu": "4"})], WARNING, "of cpu 10 in 'small' 4 are in use"),
        ([of({"services": "0"}), of({"cpu": "8"})], OK, "leave room"),
        ([of({"pods": "0"}, scopes=["BestEffort"])], OK, "leave room"),
    ],
)
def test_all_workers_are_held_against_every_quota(quotas, state, words):
    """Two workers of 4 processors, 16Gi each."""
    found = quota(pod(), 2, quotas)
    assert (found.state, words in found.message) == (state, True), found


def test_a_follower_is_counted_with_its_worker():
    """Of 4 and 3 processors, 16 and 3 + 1 GiB; an init container that ends is not there then."""
    with_follower = pod(augment_workers=3)
    assert counted(with_follower)["cpu"] == 7
    assert counted(with_follower)["limits.memory"] == 20 * 2**30
    with_follower["initContainers"][0]["restartPolicy"] = "Never"
    assert counted(with_follower) == counted(pod())


def test_gpus_are_counted():
    assert counted(pod(gpu=Gpu("h100", 8)))["requests.nvidia.com/gpu"] == 8
    found = quota(pod(gpu=Gpu("h100", 8)), 2, [of({"requests.nvidia.com/gpu": "8"})])
    assert found.state == FAIL
