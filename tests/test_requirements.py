"""The pins, and the same pins with hashes."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]


def pins(file: str) -> set[tuple[str, str]]:
    """{(name, version)} of a requirements file; extras and markers left out."""
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    found = [re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;#\\]+)", line) for line in lines]
    return {(re.sub(r"[-_.]+", "-", m[1]).lower(), m[2]) for m in found if m}


@pytest.mark.parametrize("stack", ["requirements", "requirements-next"])
def test_the_hashed_pins_are_the_pins(stack):
    assert pins(f"{stack}-hashes.txt") == pins(f"{stack}.txt")
    text = (ROOT / f"{stack}-hashes.txt").read_text(encoding="utf-8")
    entries = re.findall(r"^\S.*(?:\n    --hash=sha256:[0-9a-f]{64}(?: \\)?)+", text, re.M)
    assert len(entries) == len(re.findall(r"^\S.*==", text, re.M))


@pytest.mark.parametrize(
    ("stack", "python"), [("requirements", "3.11"), ("requirements-next", "3.13")]
)
def test_the_package_depends_on_what_is_pinned_directly(stack, python):
    """`pip install -e .` installs the same as `make env`, but for what that pins in turn."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [Requirement(text) for text in project["dependencies"]]
    marked = {
        (canonicalize_name(r.name), tuple(sorted(r.extras)), str(r.specifier))
        for r in wanted
        if r.marker is None or r.marker.evaluate({"python_version": python})
    }
    text = (ROOT / f"{stack}.txt").read_text(encoding="utf-8")
    direct = text.partition("# What they need in turn")[0]
    lines = [line.partition("#")[0].strip() for line in direct.splitlines()]
    pinned = {
        (canonicalize_name(r.name), tuple(sorted(r.extras)), str(r.specifier))
        for r in map(Requirement, filter(None, lines))
    }
    assert marked == pinned and len(pinned) > 10


@pytest.mark.parametrize("stack", ["requirements", "requirements-next"])
def test_everything_is_pinned_exactly(stack):
    for line in (ROOT / f"{stack}.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            assert re.match(r"[A-Za-z0-9._-]+(\[[a-z,_-]+\])?==[^\s;]+", line), line
