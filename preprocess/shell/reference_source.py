"""What a reference's source is: sha256 of its file and of what it imports from next to it.

Read from the text of the files; nothing is imported, so it can be told of code nobody trusts yet.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.machinery
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from preprocess.shell.errors import ConfigError
from preprocess.shell.json_text import JsonObject
from preprocess.shell.own_names import ROOT
from preprocess.shell.references import absolute_reference, is_file_reference, split_reference

_INSTALLED = ("site-packages", "dist-packages")
_OURS = ("preprocess", "trainer", "launch")


def source_file(reference: str) -> Path | None:
    """The file that a reference names something of; None if there is none."""
    place, _ = split_reference(absolute_reference(reference))
    if is_file_reference(reference):
        return Path(place) if os.path.isfile(place) else None
    folders: list[str] | None = None  # sys.path
    spec = None
    for number in range(1, len(place.split(".")) + 1):
        try:
            name = ".".join(place.split(".")[:number])
            spec = importlib.machinery.PathFinder.find_spec(name, folders)
        except (ImportError, ValueError):
            return None
        if spec is None:
            return None
        folders = list(spec.submodule_search_locations or ())
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def source_record(reference: str) -> JsonObject:
    """`reference`, `sha256` of its file (None if there is none) and, where it imports files
    from next to it, `imports`: their sha256 by their path from there.
    """
    file = source_file(reference)
    if file is None:
        return {"reference": reference, "sha256": None}
    root = file.parent
    if not is_file_reference(reference):
        above = split_reference(reference)[0].count(".") + (file.name == "__init__.py")
        root = file.absolute().parents[above]
    imports = {
        path.relative_to(root).as_posix(): _sha256(path) for path in sorted(_imported(file, root))
    }
    return {
        "reference": reference,
        "sha256": _sha256(file),
        **({"imports": imports} if imports else {}),
    }


def source_files(reference: str) -> list[Path]:
    """A file and, after it, all that it imports from next to it, as they are named there.

    Raises ValueError if the reference is of no file.
    """
    file = source_file(reference)
    if file is None:
        raise ValueError(f"{reference}: no such file")
    return [file, *sorted(_imported(file, file.parent))]


def source_texts(reference: str) -> dict[str, str]:
    """The text of a file and of all that it imports from next to it, by its path from there.

    Raises:
      ConfigError: one of them is no UTF-8 text. ValueError: the reference is of no file.
    """
    files, texts = source_files(reference), {}
    file = files[0]
    for path in files:
        try:
            texts[path.relative_to(file.parent).as_posix()] = path.read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            raise ConfigError(f"'{path}' is not UTF-8 text") from None
    return texts


def record_of_texts(reference: str, texts: Mapping[str, str]) -> JsonObject:
    """source_record() of what source_texts() gave."""
    hashes = {
        name: hashlib.sha256(text.encode("utf-8")).hexdigest() for name, text in texts.items()
    }
    own = hashes.pop(os.path.basename(split_reference(reference)[0]), None)
    return {"reference": reference, "sha256": own, **({"imports": hashes} if hashes else {})}


def source_changes(before: object, now: Mapping[str, JsonObject]) -> list[str]:
    """The sources that have changed, as text: `loss.name (FILE.py)`.

    Args:
      before: source_record() by key, as a file has it: it may be anything.
      now: likewise, made here.
    """
    changed = []
    for key, record in now.items():
        old = before.get(key) if isinstance(before, Mapping) else None
        if not isinstance(old, Mapping) or None in (old.get("sha256"), record["sha256"]):
            continue
        was, is_now = _files(old, record), _files(record, record)
        if files := {n for n in was | is_now if was.get(n) != is_now.get(n)}:
            changed.append(f"{key} ({', '.join(sorted(files))})")
    return changed


def _files(record: Mapping[str, Any], now: JsonObject) -> dict[str, object]:
    """sha256 by name; its own file is called as it is now."""
    place, _ = split_reference(str(now["reference"]))
    imports = record.get("imports")
    return {
        **(imports if isinstance(imports, dict) else {}),
        os.path.basename(place): record["sha256"],
    }


def _imported(file: Path, root: Path) -> set[Path]:
    """Every file below the root that a file imports, directly or through others; without it."""
    found: set[Path] = set()
    waiting = [file]
    while waiting:
        for path in _imports(waiting.pop(), root):
            if path != file and path not in found:
                found.add(path)
                waiting.append(path)
    return found


def _imports(file: Path, root: Path) -> Iterator[Path]:
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = file.parent.relative_to(root).parts if node.level else ()
            start = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*start, *filter(None, [node.module])])
            names = [base, *(f"{base}.{alias.name}".strip(".") for alias in node.names)]
        else:
            continue
        for name in names:
            yield from _files_of(name, root)


def _files_of(module: str, root: Path) -> Iterator[Path]:
    """The files of a module and of the packages above it, as far as they are below the root."""
    parts = module.split(".")
    if not parts[0] or (str(root) == ROOT and parts[0] in _OURS):
        return
    if parts[0] in sys.stdlib_module_names or any(part in root.parts for part in _INSTALLED):
        return
    for end in range(1, len(parts) + 1):
        place = root.joinpath(*parts[:end])
        for path in (place.with_suffix(".py"), place / "__init__.py"):
            if path.is_file():
                yield path


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
