"""README.md is short, every page opens with a command, links lead somewhere, the site builds."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.docs.blocks import ROOT, blocks, documents

MOST_README_BYTES = 10_000
NAVIGATION = (ROOT / "tests" / "docs" / "mkdocs.yml").read_text(encoding="utf-8")
LISTED = {"README.md", *re.findall(r"[\w-]+\.md", NAVIGATION)}
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)", re.DOTALL)


def without_blocks(text: str) -> str:
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """What a site calls the headings of a page."""
    titles = re.findall(r"^#+ (.*)$", without_blocks(text), re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower() for title in titles)
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", title).strip()) for title in plain}


def test_the_readme_is_at_most_10_kb():
    assert (ROOT / "README.md").stat().st_size <= MOST_README_BYTES


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_links_lead_to_files_and_headings(path):
    for link in LINK.findall(without_blocks(path.read_text(encoding="utf-8"))):
        if re.match(r"https?://", link):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), link


def test_the_navigation_has_every_page():
    assert {*(path.name for path in documents()), "index.md"} == LISTED


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_a_page_opens_with_what_it_gives_and_a_command(path):
    text = path.read_text(encoding="utf-8")
    opening = text if path.name == "README.md" else text.partition("\n## ")[0]
    first = next(block for block in blocks(path) if block.is_code)
    assert first.text in opening, f"{path.name}: no command before its first section"
    between = re.search(r"^# .+\n+[\w`].{40,}", text)
    assert between, f"{path.name}: no sentence below its title"


def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs", reason="pip install -r requirements-dev.txt")
    flags = ["--strict", "--config-file=tests/docs/mkdocs.yml", f"--site-dir={tmp_path}"]
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "bottlenecks" / "index.html").read_text(encoding="utf-8")
    assert "INPUT_HIGH" in page and "<table>" in page
    for path in documents():
        name = "" if path.name == "README.md" else path.stem
        assert (tmp_path / name / "index.html").exists(), path.name
