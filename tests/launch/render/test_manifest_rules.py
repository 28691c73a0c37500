"""Every rule finds the one fault that is put into manifests that keep all of them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from launch.gpus import Gpu
from launch.render.objects import objects
from launch.render.services import tensorboard
from launch.spec import Mount
from tests.launch.made import MATRIX, spec
from tests.launch.render import group_rules, network_rules
from tests.launch.render.bundle import check, read_objects

ROOT = Path(__file__).parents[3]
RULES = (*group_rules.RULES, *network_rules.RULES)
GOOD = spec(gpu=Gpu("l4", 1), mounts=(Mount("runs", "/runs"),))


def good(backend: str = "job") -> list[dict[str, Any]]:
    """Workers and a TensorBoard, which keep every rule."""
    run = spec(gpu=Gpu("l4", 1), mounts=(Mount("runs", "/runs"),), backend=backend)
    made = [*objects(run), *tensorboard(run, "/runs")]
    return copy.deepcopy(made)


def of_kind(made: list[dict[str, Any]], kind: str, ending: str = "") -> dict[str, Any]:
    return next(
        o for o in made if o["kind"] == kind and o["metadata"]["name"].endswith(ending)
    )  # fmt: skip


def pod(made: list[dict[str, Any]]) -> dict[str, Any]:
    return of_kind(made, "Job")["spec"]["template"]["spec"]


def container(made: list[dict[str, Any]]) -> dict[str, Any]:
    return pod(made)["containers"][0]


def variable(made: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(e for e in container(made)["env"] if e["name"] == name)


Break = Callable[[list[dict[str, Any]]], object]

FAULTS: list[tuple[str, Break]] = [
    ("group-size", lambda m: of_kind(m, "Job")["spec"].update(parallelism=1)),
    (
        "group-hosts",
        lambda m: variable(m, "TF_CONFIG").update(
            value=variable(m, "TF_CONFIG")["value"].replace("fec-1", "fec-7")
        ),
    ),
    ("group-hosts", lambda m: of_kind(m, "Service")["spec"].update(publishNotReadyAddresses=False)),
    ("group-restart", lambda m: pod(m).update(restartPolicy="OnFailure")),
    ("group-restart", lambda m: of_kind(m, "Job")["spec"].update(completionMode="NonIndexed")),
    ("group-restart", lambda m: of_kind(m, "Job")["spec"].pop("backoffLimitPerIndex")),
    ("group-restart", lambda m: of_kind(m, "Job")["spec"].update(backoffLimit=6)),
    (
        "group-exit-codes",
        lambda m: of_kind(m, "Job")["spec"]["podFailurePolicy"]["rules"].pop(),
    ),
    (
        "group-exit-codes",
        lambda m: of_kind(m, "Job")["spec"]["podFailurePolicy"]["rules"][1]["onExitCodes"][
            "values"
        ].remove(70),
    ),
    ("group-deadline", lambda m: of_kind(m, "Job")["spec"].pop("activeDeadlineSeconds")),
    ("non-isolated-pod", lambda m: m.remove(of_kind(m, "NetworkPolicy", "-tensorboard"))),
    (
        "dangling-networkpolicy",
        lambda m: of_kind(m, "NetworkPolicy", "-tensorboard")["spec"]["podSelector"].update(
            matchLabels={"app": "none"}
        ),
    ),
    (
        "dangling-service",
        lambda m: of_kind(m, "Service", "-tensorboard")["spec"].update(selector={"app": "none"}),
    ),
    (
        "dangling-service",
        lambda m: of_kind(m, "Service", "-tensorboard")["spec"]["ports"][0].update(targetPort=81),
    ),
    (
        "exposed-services",
        lambda m: of_kind(m, "Service", "-tensorboard")["spec"].update(type="LoadBalancer"),
    ),
    (
        "mismatching-selector",
        lambda m: of_kind(m, "Deployment")["spec"]["selector"]["matchLabels"].update(x="y"),
    ),
    (
        "shared-memory-below-limit",
        lambda m: pod(m)["volumes"][0]["emptyDir"].update(sizeLimit="16Gi"),
    ),
    ("dangling-volume", lambda m: pod(m)["volumes"].pop()),
    ("dangling-volume", lambda m: container(m)["volumeMounts"].pop()),
    ("reference-order", lambda m: container(m)["env"].append(container(m)["env"].pop(0))),
]


@pytest.mark.parametrize("backend", ["job", "jobset"])
def test_good_manifests_keep_every_rule(backend):
    assert check(RULES, good(backend)) == []


@pytest.mark.parametrize(("rule", "fault"), FAULTS, ids=[f"{n}-{r}" for n, (r, _) in
                                                        enumerate(FAULTS)])  # fmt: skip
def test_a_fault_is_found_by_its_rule(rule, fault):
    made = good()
    fault(made)
    assert rule in {finding.rule for finding in check(RULES, made)}


def test_no_rule_is_without_a_fault_that_it_finds():
    found = {rule for rule, _ in FAULTS} | {"jobset-rule-names"}
    assert found == {rule.name for rule in RULES}


def test_a_jobset_that_would_restart_one_pod_alone_is_found():
    made = good("jobset")
    child = of_kind(made, "JobSet")["spec"]["replicatedJobs"][0]["template"]["spec"]
    child["backoffLimit"] = 3
    assert "group-restart" in {finding.rule for finding in check(RULES, made)}


def test_a_rule_name_that_jobset_refuses_is_found():
    made = good("jobset")
    of_kind(made, "JobSet")["spec"]["failurePolicy"]["rules"][1]["name"] = "user-error"
    assert "jobset-rule-names" in {finding.rule for finding in check(RULES, made)}


@pytest.mark.parametrize("name", MATRIX)
def test_what_is_rendered_keeps_every_rule(name):
    assert check(RULES, objects(MATRIX[name])) == []


def test_manifests_written_by_hand_keep_every_rule():
    assert check(RULES, read_objects(ROOT / "k8s")) == []
