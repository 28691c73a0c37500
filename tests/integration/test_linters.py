"""The public linters over k8s/ and what `launch render` prints: both are Go modules."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from launch.render.objects import objects
from launch.render.services import tensorboard
from launch.render.text import to_yaml
from launch.spec import Mount
from tests.integration import system
from tests.launch.made import MATRIX, spec
from tests.launch.render.bundle import read_objects

ROOT = Path(__file__).parents[2]
KUBECONFORM = ("github.com/yannh/kubeconform/cmd/kubeconform", "v0.8.0")
KUBE_LINTER = ("golang.stackrox.io/kube-linter/cmd/kube-linter", "v0.7.6")
# Custom resources, whose schemas stand with their operators and not in Kubernetes itself.
CUSTOM = ("JobSet", "FlinkDeployment", "ResourceFlavor", "ClusterQueue", "LocalQueue")
# Checks of kube-linter beyond those that are on by default. Probes are left to our own rule, as
# jobs have none; a secret as an environment variable is what trackers read theirs from.
OPT_IN = (
    "default-service-account", "exposed-services", "non-isolated-pod", "use-namespace",
    "wildcard-in-rules", "access-to-secrets", "dangling-networkpolicy", "unsafe-proc-mount",
)  # fmt: skip

pytestmark = pytest.mark.timeout(1800)  # Go compiles them


def go_program(module: str, version: str) -> Path:
    """A program built from a Go module, kept in the cache."""
    name = module.rpartition("/")[2]
    go = system.command("go", "golang-go")

    def build(folder: Path) -> None:
        environment = {**os.environ, "GOBIN": str(folder), "GOFLAGS": "-p=1"}
        subprocess.run(
            ["nice", "-n", "10", go, "install", f"{module}@{version}"],
            env=environment, check=True, capture_output=True, text=True, timeout=1500,
        )  # fmt: skip

    return system.fetched(f"{name}-{version}", build) / name


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """k8s/ and one file a row of the matrix, each a folder of its own; no kustomizations.

    The service accounts that runs use are those of k8s/base: each run's folder has them too.
    """
    accounts = read_objects(ROOT / "k8s" / "base" / "service-accounts.yaml")
    folder = tmp_path_factory.mktemp("manifests")
    mounted = spec(mounts=(Mount("runs", "/runs"),))
    rendered = {
        **{name: objects(made) for name, made in MATRIX.items()},
        "tensorboard": tensorboard(mounted, "/runs"),
    }
    for name, made in rendered.items():
        (folder / name).mkdir()
        (folder / name / "run.yaml").write_text(to_yaml(made), encoding="utf-8")
        (folder / name / "accounts.yaml").write_text(to_yaml(accounts), encoding="utf-8")
    (folder / "k8s").mkdir()
    by_hand = [o for o in read_objects(ROOT / "k8s") if o["kind"] != "Kustomization"]
    (folder / "k8s" / "all.yaml").write_text(yaml.safe_dump_all(by_hand), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Schemas of kubernetes-validate, as kubeconform takes them: references within a folder.

    They name each other by an address of kubernetes.io, which would have to be fetched.
    """
    source = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
    folder = tmp_path_factory.mktemp("schemas")
    for version in source.glob("v*-local-strict"):
        (folder / version.name).mkdir()
        for file in version.glob("*.json"):
            schema: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            schema.pop("$id", None)
            text = json.dumps(schema).replace('"/api/_definitions.json', '"_definitions.json')
            (folder / version.name / file.name).write_text(text, encoding="utf-8")
    return folder


def conform(schemas: Path, version: str, *paths: Path) -> dict[str, Any]:
    """What kubeconform says, with its summary."""
    location = f"{schemas}/v{version}.0-local-strict/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"
    done = subprocess.run(
        [
            *(go_program(*KUBECONFORM), "-strict", "-summary", "-output=json"),
            *(f"-kubernetes-version={version}.0", f"-schema-location={location}"),
            *(f"-skip={','.join(CUSTOM)}", *paths),
        ],
        capture_output=True,
        text=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("version", ["1.33", "1.34", "1.35", "1.36", "1.37"])
def test_kubeconform_finds_nothing(manifests, schemas, version):
    found = conform(schemas, version, manifests)
    assert found["resources"] == []
    counts = found["summary"]
    assert (counts["invalid"], counts["errors"]) == (0, 0)
    texts = [path.read_text(encoding="utf-8") for path in manifests.rglob("*.yaml")]
    kinds = [kind for text in texts for kind in re.findall(r"^kind: (\w+)$", text, re.MULTILINE)]
    assert counts["skipped"] == sum(kind in CUSTOM for kind in kinds)
    assert counts["valid"] == sum(kind not in CUSTOM for kind in kinds)


def test_kubeconform_finds_a_misspelt_field(schemas, tmp_path):
    made = objects(spec())
    made[0]["spec"]["paralellism"] = 2
    path = tmp_path / "run.yaml"
    path.write_text(to_yaml(made), encoding="utf-8")
    [problem] = conform(schemas, "1.37", path)["resources"]
    assert problem["kind"] == "Job"
    assert "paralellism" in problem["msg"]


def lint(*paths: Path) -> list[dict[str, Any]]:
    """Reports of kube-linter."""
    done = subprocess.run(
        [
            *(go_program(*KUBE_LINTER), "lint", "--format=json"),
            *(f"--include={name}" for name in OPT_IN),
            *paths,
        ],
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout)["Reports"] or []


def test_kube_linter_finds_nothing(manifests):
    found = {
        f"{folder.name}: {report['Check']}: {report['Diagnostic']['Message']}"
        for folder in sorted(manifests.iterdir())
        for report in lint(folder)
    }
    assert found == set()


def test_kube_linter_finds_a_pod_that_runs_as_root(tmp_path):
    made = objects(spec())
    pod = made[0]["spec"]["template"]["spec"]
    pod["securityContext"]["runAsNonRoot"] = False
    pod["containers"][0]["securityContext"]["runAsNonRoot"] = False
    pod["securityContext"]["runAsUser"] = 0
    path = tmp_path / "run.yaml"
    path.write_text(to_yaml(made), encoding="utf-8")
    assert "run-as-non-root" in {report["Check"] for report in lint(path)}
