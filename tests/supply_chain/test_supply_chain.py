"""The bill of materials is that of the pins; an advisory finds the versions that it is about."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from preprocess.shell.exit_codes import ExitCode
from tests.supply_chain.audit import accepted_ids, findings
from tests.supply_chain.pins import ROOT, STACKS, Pin, pins, pins_of
from tests.supply_chain.sbom import sbom

DIGEST = "ab" * 32


@pytest.mark.parametrize("stack", STACKS)
def test_every_pinned_package_is_in_the_bill_of_materials_with_its_hashes(stack):
    text = (ROOT / STACKS[stack]).read_text(encoding="utf-8")
    document = sbom(stack, pins_of(stack))
    components = document["components"]
    assert len(components) == len(re.findall(r"^[A-Za-z]", text, re.M)) > 50
    digests = {
        h["content"] for c in components for f in c["externalReferences"] for h in f["hashes"]
    }
    assert digests == set(re.findall(r"sha256:([0-9a-f]{64})", text))
    tensorflow = next(c for c in components if c["name"] == "tensorflow")
    assert tensorflow["purl"] == f"pkg:pypi/tensorflow@{tensorflow['version']}"
    assert sbom(stack, pins_of(stack)) == document


def test_another_hash_is_another_document():
    one, other = (sbom("default", [Pin("a", "1", (digest,))]) for digest in ("0" * 64, "1" * 64))
    assert one["serialNumber"] != other["serialNumber"]


def test_pins_are_read_with_extras_markers_and_hashes():
    text = (
        f"# a comment\nA.b_C[x]==1.0 ; python_version < '4' \\\n    --hash=sha256:{DIGEST}\nd==2\n"
    )
    assert pins(text) == [Pin("a-b-c", "1.0", (DIGEST,)), Pin("d", "2", ())]
    for line in ("e>=2", "-r other.txt", "git+https://host/x"):
        with pytest.raises(ValueError, match="no pin"):
            pins(f"a==1\n{line}\n")


def advisory(name: str = "demo", **affected: Any) -> dict[str, Any]:
    package = {"name": name, "ecosystem": "PyPI"}
    return {"id": "OSV-1", "summary": "bad", "affected": [{"package": package, **affected}]}


def ranges(*events: tuple[str, str]) -> dict[str, Any]:
    return {"ranges": [{"type": "ECOSYSTEM", "events": [{kind: at} for kind, at in events]}]}


@pytest.mark.parametrize(
    ("version", "affected", "found"),
    [
        ("1.5", ranges(("introduced", "0"), ("fixed", "1.6")), True),
        ("1.6", ranges(("introduced", "0"), ("fixed", "1.6")), False),
        ("1.10", ranges(("introduced", "0"), ("fixed", "1.6")), False),  # as versions, not as text
        ("1.6rc1", ranges(("introduced", "0"), ("fixed", "1.6")), True),
        ("1.6", ranges(("introduced", "0"), ("last_affected", "1.6")), True),
        ("1.7", ranges(("introduced", "0"), ("last_affected", "1.6")), False),
        ("0.9", ranges(("introduced", "1.0")), False),
        ("2.1", ranges(("introduced", "0"), ("fixed", "1.6"), ("introduced", "2.0")), True),
        ("1.5", {"versions": ["1.5"]}, True),
        ("1.5", {"versions": ["1.4"]}, False),
        ("1.5", {"ranges": [{"type": "GIT", "events": [{"introduced": "0"}]}]}, False),
    ],
)
def test_an_advisory_is_about_the_versions_in_its_ranges(version, affected, found):
    assert bool(findings([Pin("demo", version, ())], [advisory(**affected)])) == found


def test_names_are_compared_as_pypi_does_and_other_ecosystems_are_not():
    pin, everything = Pin("my-demo", "1", ()), ranges(("introduced", "0"))
    assert findings([pin], [advisory("My_Demo", **everything)])
    other = advisory("my-demo", **everything)
    other["affected"][0]["package"]["ecosystem"] = "npm"
    withdrawn = {**advisory("my-demo", **everything), "withdrawn": "2024-01-01T00:00:00Z"}
    assert findings([pin], [other, withdrawn]) == []


def test_an_accepted_advisory_has_a_reason():
    assert accepted_ids("# why\nOSV-1 not reachable\n\n") == {"OSV-1": "not reachable"}
    with pytest.raises(ValueError, match="OSV-2"):
        accepted_ids("OSV-2\n")


def audit(path: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.supply_chain.audit", f"--advisories={path}"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_command_finds_a_pinned_version_in_an_archive(tmp_path: Path):
    pin = next(pin for pin in pins_of("default") if pin.name == "pillow")
    record = advisory("Pillow", versions=[pin.version])
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("OSV-1.json", json.dumps(record))
    done = audit(str(tmp_path / "all.zip"))
    assert done.returncode == 1, done.stderr
    assert f"default: pillow {pin.version}: OSV-1: bad" in done.stdout


@pytest.mark.parametrize("path", ["", "nowhere.zip", "empty"])
def test_without_advisories_nothing_is_said_to_be_well(tmp_path, path):
    (tmp_path / "empty").mkdir()
    done = audit(str(tmp_path / path) if path else "")
    assert done.returncode == ExitCode.UNAVAILABLE
    assert done.stderr.startswith("not audited:")
    assert done.stdout == ""


@pytest.mark.parametrize("file", ["cpu.Dockerfile", "gpu.Dockerfile"])
def test_an_image_runs_as_a_numbered_user_without_a_shell(file):
    lines = (ROOT / "k8s" / "docker" / file).read_text(encoding="utf-8").splitlines()
    users = [line for line in lines if line.startswith("USER ")]
    assert users == ["USER 10001:10001"]
    after = lines[lines.index(users[0]) + 1 :]
    assert not any(line.startswith(("RUN ", "COPY ", "ADD ")) for line in after)
    created = next(line for line in lines if "useradd" in line)
    assert "--shell /usr/sbin/nologin" in " ".join([created, lines[lines.index(created) + 1]])
