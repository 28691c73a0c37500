"""Every rule finds the one fault that is put into manifests that keep all of them."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from launch.gpus import Gpu
from launch.lint.rule import check
from launch.lint.rules import RULES
from launch.render.objects import objects
from launch.render.services import data_service, tensorboard
from launch.render.text import to_yaml
from launch.spec import Mount
from tests.launch.made import spec

ROOT = Path(__file__).parents[2]
GOOD = spec(gpu=Gpu("l4", 1), mounts=(Mount("runs", "/runs"),))


def good(backend: str = "job") -> list[dict[str, Any]]:
    """A gang, a TensorBoard and a data service, which keep every rule."""
    run = spec(gpu=Gpu("l4", 1), mounts=(Mount("runs", "/runs"),), backend=backend)
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "reader", "namespace": "shardline"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
    }
    made = [*objects(run), *tensorboard(run, "/runs"), *data_service(run, 4), role]
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
    ("pod-security-restricted", lambda m: pod(m).update(hostNetwork=True)),
    ("pod-security-restricted", lambda m: pod(m).update(hostPID=True)),
    ("pod-security-restricted", lambda m: container(m)["securityContext"].update(privileged=True)),
    (
        "pod-security-restricted",
        lambda m: container(m)["securityContext"].pop("allowPrivilegeEscalation"),
    ),
    ("pod-security-restricted", lambda m: container(m)["securityContext"].pop("capabilities")),
    (
        "pod-security-restricted",
        lambda m: container(m)["securityContext"]["capabilities"].update(add=["SYS_ADMIN"]),
    ),
    ("pod-security-restricted", lambda m: pod(m)["securityContext"].pop("seccompProfile")),
    (
        "pod-security-restricted",
        lambda m: container(m)["securityContext"].update(runAsNonRoot=False),
    ),
    ("pod-security-restricted", lambda m: container(m)["ports"][0].update(hostPort=2222)),
    (
        "pod-security-restricted",
        lambda m: pod(m)["volumes"][1].update(hostPath={"path": "/"}),
    ),
    (
        "pod-security-restricted",
        lambda m: pod(m)["securityContext"].update(sysctls=[{"name": "kernel.msgmax"}]),
    ),
    ("pod-security-restricted", lambda m: container(m)["securityContext"].update(procMount="x")),
    (
        "no-read-only-root-fs",
        lambda m: container(m)["securityContext"].pop("readOnlyRootFilesystem"),
    ),
    (
        "container-security-context-user-group-id",
        lambda m: pod(m)["securityContext"].update(runAsUser=1000),
    ),
    ("automount-service-account-token", lambda m: pod(m).pop("automountServiceAccountToken")),
    ("default-service-account", lambda m: pod(m).pop("serviceAccountName")),
    (
        "env-var-secret",
        lambda m: container(m)["env"].append({"name": "DB_PASSWORD", "value": "x"}),
    ),
    (
        "no-key-file",
        lambda m: container(m)["env"].append(
            {"name": "GOOGLE_APPLICATION_CREDENTIALS", "value": "/key.json"}
        ),
    ),
    ("wildcard-in-rules", lambda m: of_kind(m, "Role")["rules"][0].update(verbs=["*"])),
    ("wildcard-in-rules", lambda m: of_kind(m, "Role")["rules"][0].update(resources=["secrets"])),
    ("gang-size", lambda m: of_kind(m, "Job")["spec"].update(parallelism=1)),
    (
        "gang-hosts",
        lambda m: variable(m, "TF_CONFIG").update(
            value=variable(m, "TF_CONFIG")["value"].replace("fec-1", "fec-7")
        ),
    ),
    ("gang-hosts", lambda m: of_kind(m, "Service")["spec"].update(publishNotReadyAddresses=False)),
    ("gang-restart", lambda m: pod(m).update(restartPolicy="OnFailure")),
    ("gang-restart", lambda m: of_kind(m, "Job")["spec"].update(completionMode="NonIndexed")),
    ("gang-restart", lambda m: of_kind(m, "Job")["spec"].pop("backoffLimitPerIndex")),
    ("gang-restart", lambda m: of_kind(m, "Job")["spec"].update(backoffLimit=6)),
    (
        "gang-exit-codes",
        lambda m: of_kind(m, "Job")["spec"]["podFailurePolicy"]["rules"].pop(),
    ),
    (
        "gang-exit-codes",
        lambda m: of_kind(m, "Job")["spec"]["podFailurePolicy"]["rules"][1]["onExitCodes"][
            "values"
        ].remove(70),
    ),
    ("gang-deadline", lambda m: of_kind(m, "Job")["spec"].pop("activeDeadlineSeconds")),
    (
        "spot-grace",
        lambda m: pod(m)["nodeSelector"].update({"cloud.google.com/gke-spot": "true"}),
    ),
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
    ("latest-tag", lambda m: container(m).update(image="shardline:latest")),
    ("unset-resource-requirements", lambda m: container(m)["resources"]["requests"].pop("cpu")),
    ("unset-resource-requirements", lambda m: container(m)["resources"]["limits"].pop("memory")),
    (
        "container-ephemeral-storage-request-and-limit",
        lambda m: container(m)["resources"]["limits"].pop("ephemeral-storage"),
    ),
    (
        "container-ephemeral-storage-request-and-limit",
        lambda m: pod(m)["volumes"][1]["emptyDir"].pop("sizeLimit"),
    ),
    (
        "shared-memory-below-limit",
        lambda m: pod(m)["volumes"][0]["emptyDir"].update(sizeLimit="16Gi"),
    ),
    (
        "no-readiness-probe",
        lambda m: of_kind(m, "Deployment")["spec"]["template"]["spec"]["containers"][0].pop(
            "readinessProbe"
        ),
    ),
    ("dangling-volume", lambda m: pod(m)["volumes"].pop()),
    ("dangling-volume", lambda m: container(m)["volumeMounts"].pop()),
    (
        "duplicate-env-var",
        lambda m: container(m)["env"].append({"name": "HOME", "value": "/root"}),
    ),
    ("env-reference-order", lambda m: container(m)["env"].append(container(m)["env"].pop(0))),
    ("use-namespace", lambda m: of_kind(m, "Service")["metadata"].pop("namespace")),
    (
        "host-name-length",
        lambda m: of_kind(m, "Deployment")["metadata"].update(name="t" * 60),
    ),
    (
        "job-ttl-seconds-after-finished",
        lambda m: of_kind(m, "Job")["spec"].pop("ttlSecondsAfterFinished"),
    ),
    (
        "no-anti-affinity",
        lambda m: of_kind(m, "Deployment", "-data-worker")["spec"]["template"]["spec"].pop(
            "affinity"
        ),
    ),
    (
        "deployment-has-poddisruptionbudget",
        lambda m: m.remove(of_kind(m, "PodDisruptionBudget")),
    ),
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
    assert {rule for rule, _ in FAULTS} == {rule.name for rule in RULES}


def test_a_jobset_that_would_restart_one_pod_alone_is_found():
    made = good("jobset")
    child = of_kind(made, "JobSet")["spec"]["replicatedJobs"][0]["template"]["spec"]
    child["backoffLimit"] = 3
    assert "gang-restart" in {finding.rule for finding in check(RULES, made)}


def test_a_rule_is_silenced_for_one_object_with_a_reason():
    made = good()
    deployment = of_kind(made, "Deployment", "-tensorboard")
    del deployment["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]
    mark = "ignore-check.kube-linter.io/no-readiness-probe"
    deployment["metadata"]["annotations"] = {mark: ""}
    assert check(RULES, made)  # no reason, no silence
    deployment["metadata"]["annotations"] = {mark: "answers at once"}
    assert check(RULES, made) == []


def test_pod_security_cannot_be_silenced():
    made = good()
    pod(made)["hostNetwork"] = True
    mark = "ignore-check.kube-linter.io/pod-security-restricted"
    of_kind(made, "Job")["metadata"]["annotations"] = {mark: "please"}
    assert [finding.rule for finding in check(RULES, made)] == ["pod-security-restricted"]


def lint(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "launch", "lint", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_names_object_rule_and_reason(tmp_path):
    made = good()
    container(made)["image"] = "shardline:latest"
    path = tmp_path / "run.yaml"
    path.write_text(to_yaml(made), encoding="utf-8")
    done = lint(str(path))
    assert done.returncode == 65
    assert "Job shardline/fec: latest-tag: trainer: image 'shardline:latest'" in done.stdout
    done = lint(str(path), "--json")
    assert [p["rule"] for p in json.loads(done.stdout)["problems"]] == ["latest-tag"]


@pytest.mark.parametrize(("text", "code"), [("a: [", 65), ("- 1", 65), (None, 64)])
def test_what_is_no_manifest_is_refused_in_words(tmp_path, text, code):
    path = tmp_path / "x.yaml"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    done = lint(str(path))
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert str(path) in done.stderr
