"""Fenced blocks of the documents, each with the comment above it that says what runs it.

The forms of the comment:
<!-- tested: NAME -->        a test runs the block as it stands; RUN_BY has the test's file
<!-- tested by: FILES -->    these tests, or blocks of a page, run the same
<!-- file: PATH -->          tests/test_docs_PAGE.py writes the block there and runs it
<!-- needs SOMETHING -->     no test can run it: one of NEEDS
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUN_BY = {
    "quick start": "tests/docs/test_walkthroughs.py",
    "step by step": "tests/docs/test_walkthroughs.py",
    "serving": "tests/docs/test_walkthroughs.py",
    "tf.data": "tests/trainer/data/test_other_readers.py",
    "tfds": "tests/trainer/data/test_other_readers.py",
    "grain": "tests/trainer/data/test_other_readers.py",
    "dali": "tests/trainer/data/test_other_readers.py",
}
NEEDS = ("a cluster", "a GPU", "the network", "Docker", "Google Cloud", "minutes", "your own data")
CODE = ("bash", "sh", "shell", "console", "python")

_BLOCK = re.compile(
    r"(?:^ *<!-- (?P<marker>[^\n]*?) -->\n)?"
    r"^(?P<indent> *)```(?P<language>[^\n]*)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)


@dataclasses.dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
      path: of its document.
      line: of its opening fence, from 1.
      language: what stands behind the fence; "" = nothing.
      marker: the comment on the line above; "" = none.
      text: its lines, without the indent of its fence.
    """

    path: Path
    line: int
    language: str
    marker: str
    text: str

    @property
    def is_code(self) -> bool:
        """Whether a reader would run it."""
        return self.language in CODE

    @property
    def place(self) -> str:
        """FILE:LINE."""
        return f"{self.path.relative_to(ROOT)}:{self.line}"

    def commands(self) -> list[str]:
        """Shell commands, a continued line joined; comments, blank lines and `$ ` left out."""
        joined = re.sub(r"\\\n\s*", " ", self.text)
        lines = [line.removeprefix("$ ").strip() for line in joined.splitlines()]
        return [re.split(r"\s+#\s", line)[0] for line in lines if line and line[0] != "#"]


def documents() -> list[Path]:
    """README.md and every page of docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(path: Path) -> Iterator[Block]:
    """The fenced blocks of a document, in its order."""
    text = path.read_text(encoding="utf-8")
    for match in _BLOCK.finditer(text):
        indent = match["indent"]
        lines = [line.removeprefix(indent) for line in match["text"].splitlines(keepends=True)]
        yield Block(
            path=path,
            line=text.count("\n", 0, match.start("indent")) + 1,
            language=match["language"].strip(),
            marker=match["marker"] or "",
            text="".join(lines),
        )


def all_blocks() -> list[Block]:
    """Those of every document."""
    return [block for path in documents() for block in blocks(path)]


def named_block(name: str) -> Block:
    """The one block behind `<!-- tested: NAME -->`."""
    found = [block for block in all_blocks() if block.marker == f"tested: {name}"]
    assert len(found) == 1, f"{name}: {[block.place for block in found]}"
    return found[0]
