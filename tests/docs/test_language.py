"""Documents and messages are plain English: expressions of `language.ODD` do not come back."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, documents
from tests.docs.language import odd_expressions

# Packages and rooms whose messages, helps and docstrings have been read for it.
READ = (
    "preprocess",
    "launch",
    *(
        f"trainer/{room}"
        for room in "bottleneck commands compat config configs inference models monitoring "
        "preflight report search workers".split()
    ),
)


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of every string of a module: messages, helps, docstrings."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_a_page_has_no_odd_expression(path):
    assert not list(odd_expressions(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("package", READ)
def test_messages_and_docstrings_have_no_odd_expression(package):
    paths = sorted((ROOT / package).rglob("*.py"))
    assert paths
    found = [
        f"{path.relative_to(ROOT)}, string of line {line}, its line {odd}"
        for path in paths
        for line, text in texts(path)
        for odd in odd_expressions(text)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text", ["The run goes on.", "Weights cannot be had\nhere.", "it ends WITH A WORD"]
)
def test_odd_expressions_are_found(text):
    assert list(odd_expressions(text))


def test_what_is_written_instead_is_taken():
    assert not list(odd_expressions("The run resumes on the same machine and logs a warning."))
