"""What mkdocs is told of this repository: the site's first page is README.md.

Pages link to files outside of docs/, which a site does not have: those links become plain text,
after a look whether the file is there. README.md's links into docs/ become links of the site.
"""

from __future__ import annotations

import logging
import re
from typing import Any

from mkdocs.structure.files import File

from tests.docs.blocks import ROOT

log = logging.getLogger("mkdocs.hooks.shardline")
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)#:\s]+)(#[^)]*)?\)")


def on_config(config: Any) -> Any:
    """Appends the pages that the navigation leaves out."""
    listed = re.findall(r"[\w-]+\.md", str(config.nav))
    pages = sorted(path.name for path in (ROOT / "docs").glob("*.md"))
    if more := [page for page in pages if page not in listed]:
        config.nav.append({"More": more})
    return config


def on_files(files: Any, config: Any) -> Any:
    """Adds README.md as index.md."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    files.append(File.generated(config, "index.md", content=text.replace("](docs/", "](")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turns links that leave docs/ into their text."""
    docs = ROOT / "docs"

    def as_text(match: re.Match[str]) -> str:
        target = (docs / match[2]).resolve()
        if target.is_relative_to(docs):
            return match[0]  # mkdocs looks whether it is there
        if not target.exists():
            log.warning("%s links to %s, which does not exist", page.file.src_uri, match[2])
        return match[1]

    return LINK.sub(as_text, markdown)
