"""What can be added by a file of its own: a folder is the table, a module of it an entry.

An entry's name is that of its module, the first line of the module's docstring says what it is,
and constants of plain values say what has to be known of it beforehand. All of that is read from
the source: naming and checking entries does not import them, nor what they import.
"""

from __future__ import annotations

import ast
import functools
import importlib
import re
from pathlib import Path
from typing import Any

from preprocess.shell.errors import ConfigError
from preprocess.shell.nearest import did_you_mean

ROOT = Path(__file__).resolve().parents[2]


def load(reference: str) -> Any:
    """What `MODULE:NAME` refers to; imports it."""
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)


class Entries:
    """The entries of one kind.

    Attributes:
      kind: what an entry is, for messages.
      package: the dotted name of the folder.
    """

    def __init__(self, kind: str, package: str, *others: str, defining: str = "") -> None:
        """`others` are modules of the folder that are no entries; with `defining`, entries are
        those that assign this name.
        """
        self.kind, self.package = kind, package
        self._folder = ROOT.joinpath(*package.split("."))
        self._others = {"__init__", *others}
        self._assignment = re.compile(rf"^{defining}\b.*=" if defining else "", re.MULTILINE)

    def names(self) -> tuple[str, ...]:
        """Every entry, sorted."""
        return tuple(
            sorted(
                path.stem
                for path in self._folder.glob("*.py")
                if path.stem not in self._others
                and self._assignment.search(path.read_text(encoding="utf-8"))
            )
        )

    def summary(self, name: str) -> str:
        """What an entry is: the first line of its docstring, without its full stop."""
        docstring = ast.get_docstring(self._tree(name)) or ""
        return docstring.partition("\n")[0].removesuffix(".")

    def constant(self, name: str, constant: str, default: Any = None) -> Any:
        """A constant of an entry's module, of plain values; `default` where it has none."""
        return _constant(self._tree(name), constant, default)

    def module(self, name: str) -> Any:
        """The module of an entry, imported."""
        self.check(name, self.kind)
        return importlib.import_module(f"{self.package}.{name}")

    def check(self, name: str, key: str) -> None:
        """Raises ConfigError, which names the key and the entries, if there is no such one."""
        names = self.names()
        if name in names:
            return
        hint = did_you_mean(name, names)
        raise ConfigError(
            f"{key}={name!r}: unknown {self.kind}{hint}; known are {', '.join(names)}"
        )

    def _tree(self, name: str) -> ast.Module:
        return _parsed(self._folder / f"{name}.py")


@functools.cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def constant_in(path: Path, constant: str, default: Any = None) -> Any:
    """A constant of a user's file, of plain values, without running it; `default` where it has
    none, or cannot be read.
    """
    try:
        return _constant(ast.parse(path.read_bytes()), constant, default)
    except (OSError, SyntaxError, ValueError):
        return default


def _constant(tree: ast.Module, constant: str, default: Any) -> Any:
    for node in tree.body:
        names = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(each, ast.Name) and each.id == constant for each in names):
            return ast.literal_eval(node.value)  # type: ignore[attr-defined]
    return default
