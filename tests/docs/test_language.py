"""Documents and messages are plain English: expressions of `language.ODD` do not come back."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, documents
from tests.docs.language import odd_expressions

PACKAGES = ("preprocess", "launch", "trainer")


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of every string and comment of a module: messages, helps, docstrings."""
    source = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
    # Consecutive lines of comments are one text: an expression may be broken between them.
    comments: list[str] = []
    last = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            if token.start[0] != last + 1 and comments:
                yield last - len(comments) + 1, "\n".join(comments)
                comments = []
            comments.append(token.string.lstrip("# "))
            last = token.start[0]
    if comments:
        yield last - len(comments) + 1, "\n".join(comments)


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_a_page_has_no_odd_expression(path):
    assert not list(odd_expressions(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("package", PACKAGES)
def test_messages_docstrings_and_comments_have_no_odd_expression(package):
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
