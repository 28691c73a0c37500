"""The manifests that are written by hand: they keep the rules, and are what launch would render."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from launch.render.pod import USER
from launch.render.services import tensorboard
from launch.spec import Mount
from tests.launch.made import spec
from tests.launch.render import group_rules, network_rules
from tests.launch.render.bundle import check, read_objects

ROOT = Path(__file__).parents[3]
K8S = ROOT / "k8s"
PLACEHOLDER = "shardline@sha256:" + "0" * 64
CUSTOM = ("kueue.x-k8s.io", "flink.apache.org", "kustomize.config.k8s.io")


@pytest.mark.parametrize("version", ["1.33", "1.35", "1.37"])
def test_every_manifest_is_valid(version):
    plain = [o for o in read_objects(K8S) if not o["apiVersion"].startswith(CUSTOM)]
    assert plain
    for o in plain:
        kubernetes_validate.validate(o, version, strict=True)


def test_tensorboard_is_what_launch_renders():
    made = spec(
        name="runs",
        image=PLACEHOLDER,
        service_account="tensorboard",
        mounts=(Mount("runs", "/runs"),),
    )
    assert read_objects(K8S / "tensorboard" / "tensorboard.yaml") == tensorboard(made, "/runs")


def test_the_folder_is_applied_as_one():
    if not shutil.which("kubectl"):
        pytest.skip("no kubectl on this machine")
    text = subprocess.run(
        ["kubectl", "kustomize", str(K8S)], capture_output=True, text=True, check=True
    ).stdout
    objects = [o for o in yaml.safe_load_all(text) if o]
    assert check((*group_rules.RULES, *network_rules.RULES), objects) == []
    assert {o["metadata"].get("namespace", "shardline") for o in objects} == {"shardline"}


def test_every_file_is_named_by_a_kustomization():
    for folder in [K8S, *(path for path in K8S.iterdir() if path.is_dir())]:
        files = {f.name for f in folder.glob("*.yaml")} - {"kustomization.yaml"}
        if files:
            named = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
            assert files <= set(named), folder


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_images_are_pinned_and_run_as_nobody(name):
    lines = (K8S / "docker" / f"{name}.Dockerfile").read_text().splitlines()
    base = next(line for line in lines if line.startswith("ARG BASE="))
    assert re.fullmatch(r"ARG BASE=python:3\.11\.\d+-slim-bookworm", base)
    assert f"USER {USER}:{USER}" in lines
    copied = [w for line in lines if line.startswith("COPY ") and "--from" not in line
              for w in line.split()[1:-1]]  # fmt: skip
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    for source in copied:
        assert (ROOT / source).exists()
        assert f"!{source}" in allowed
