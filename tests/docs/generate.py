"""Writes the tables of docs/ that are made from the code: `python -m tests.docs.generate`.

A table stands between `<!-- table: NAME -->` and `<!-- end of table -->`.
"""

from __future__ import annotations

import re

from tests.docs.blocks import ROOT, documents
from tests.docs.tables import TABLES

_PLACE = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end of table -->\n)", re.DOTALL)


def tables_in(text: str) -> list[str]:
    """Names of the tables that a page has."""
    return [match[2] for match in _PLACE.finditer(text)]


def with_tables(text: str) -> str:
    """A page with its tables made anew; what stands around them stays."""
    return _PLACE.sub(lambda match: f"{match[1]}\n{TABLES[match[2]]()}\n\n{match[3]}", text)


def main() -> None:
    """Writes the pages whose tables have changed, and names them."""
    for path in documents():
        text = path.read_text(encoding="utf-8")
        made = with_tables(text)
        if made != text:
            path.write_text(made, encoding="utf-8")
            print(f"{path.relative_to(ROOT)} written")


if __name__ == "__main__":
    main()
