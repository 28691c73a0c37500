"""What is checked of a manifest and of the files that it names. A dataset may come from a stranger:
counts that nothing backs would make every loop over them endless.

Standard library only, as the contract that it belongs to.
"""

from __future__ import annotations

import dataclasses
import os
import stat
from collections.abc import Iterable
from typing import Any, get_origin, get_type_hints

MAX_NAME_CHARACTERS = 1_000  # a name of a megabyte would end in every report


class DatasetError(Exception):
    """A dataset directory that cannot be read; the message says what to do about it."""


def check_types(record: Any) -> None:
    """Whether the plain fields of a dataclass have their types, and no count is negative."""
    hints = get_type_hints(type(record))
    for field in dataclasses.fields(record):
        value, hint = getattr(record, field.name), hints[field.name]
        kinds = {str: str, int: int, int | None: (int, type(None)), bool: bool, float: (int, float)}
        plain: Any = kinds.get(hint) or get_origin(hint) or hint
        if not isinstance(value, plain) or (isinstance(value, bool) and hint is not bool):
            raise TypeError(f"{field.name} is {str(value)[:40]!r}")
        if isinstance(value, int) and field.name != "seed" and not 0 <= value < 1 << 63:
            raise ValueError(f"{field.name} is {value}")


def check_name(name: Any) -> None:
    """Raises TypeError or ValueError if it is no name, or one that would spoil a report."""
    if not isinstance(name, str):
        raise TypeError(f"a name is {str(name)[:40]!r}")
    if len(name) > MAX_NAME_CHARACTERS:
        raise ValueError(
            f"a name of {len(name)} characters ({name[:20]!r}...), above {MAX_NAME_CHARACTERS}"
        )
    if any(ord(character) < 32 or ord(character) == 127 for character in name):
        raise ValueError(f"a name with control characters: {name[:40]!a}")


def check_path(file: str) -> None:
    """Raises ValueError if a path could lead outside of the dataset directory."""
    parts = file.split("/")
    odd = "\\" in file or any(ord(character) < 32 for character in file)
    if odd or any(part in ("", ".", "..") for part in parts) or len(file) > MAX_NAME_CHARACTERS:
        raise ValueError(f"a shard outside of the dataset directory: {file[:80]!a}")


def check_files(folder: str, files: Iterable[str]) -> None:
    """Raises DatasetError if a file is reached by a link that leads out of the dataset
    directory, or is no regular file (opening a pipe would wait forever). Missing files are left
    to whoever reads them.
    """
    root = os.path.realpath(folder)
    inside: dict[str, bool] = {}
    for file in files:
        parent = os.path.dirname(file)
        if parent not in inside:
            inside[parent] = _is_below(root, os.path.join(folder, parent))
        if not inside[parent]:
            raise DatasetError(f"'{parent}' is a link that leads outside of '{folder}'")
        check_file(folder, file)


def check_file(folder: str, file: str, limit: int | None = None) -> None:
    """As check_files, of one file; raises DatasetError, too, if it has more bytes than `limit`."""
    path = os.path.join(folder, file)
    try:
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            if not _is_below(os.path.realpath(folder), path):
                raise DatasetError(f"'{file}' is a link that leads outside of '{folder}'")
            status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return
    if not stat.S_ISREG(status.st_mode):
        raise DatasetError(f"'{file}' in '{folder}' is not a regular file")
    if limit is not None and status.st_size > limit:
        raise DatasetError(f"'{path}' has {status.st_size} bytes, more than any {file} has")


def _is_below(root: str, path: str) -> bool:
    return os.path.commonpath([root, os.path.realpath(path)]) == root
