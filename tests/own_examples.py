"""The examples of docs/extending.md of a user's own code: their files, and the flags after them."""

from __future__ import annotations

import re
from pathlib import Path

DOCUMENT = Path(__file__).parents[1] / "docs" / "extending.md"
OWN = "mine/"
_FILE = re.compile(r"<!-- file: (\S+) -->\n```\w*\n(.*?)```\n", re.DOTALL)
_FLAG = re.compile(r"--config\.([\w.]+)=([^\s`]+)")


def files() -> dict[str, str]:
    """The content of each file of the document by its path."""
    return dict(_FILE.findall(DOCUMENT.read_text(encoding="utf-8")))


def own_files() -> dict[str, str]:
    """Those that a configuration names."""
    return {path: text for path, text in files().items() if path.startswith(OWN)}


def own_flags() -> list[tuple[str, str]]:
    """The keys and values that follow the examples."""
    section = DOCUMENT.read_text(encoding="utf-8").partition("## Your own code")[2]
    return _FLAG.findall(section.partition("\n## ")[0])


def write(folder: Path) -> list[tuple[str, str]]:
    """Writes the user's files below a folder; returns the flags that name them there."""
    for path, text in own_files().items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return [(key, value.replace(OWN, f"{folder}/{OWN}")) for key, value in own_flags()]
