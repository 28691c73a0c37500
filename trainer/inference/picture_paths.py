"""Which picture files a command is asked about: a folder, one file, a list, or gs://..."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import tensorflow as tf

from preprocess.shell.errors import DataError
from preprocess.shell.regular_files import read_regular
from trainer.data import storage

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff")
LIST = ".txt"
MAX_LIST_BYTES = 1 << 30


def find_pictures(images: str) -> list[str]:
    """The picture files of `--images`.

    Args:
      images: a folder, on disk or gs://..., of which every picture file below it is taken, sorted;
        one file, of any name; several of these with commas between them; or a .txt file with
        one of them a line, relative to it.

    Raises:
      DataError: there is no such file or folder, or no picture in it.
      StorageError: the storage does not answer.
    """
    if "," in images and not os.path.exists(images):
        return [path for part in images.split(",") if part for path in _pictures(part.strip())]
    if images.lower().endswith(LIST) and os.path.isfile(images):
        return [path for line in _lines(images) for path in _pictures(line)]
    return _pictures(images)


def folder_of(images: str) -> str:
    """The folder that ids of the pictures at a path are relative to: itself, or that of a file."""
    if storage.is_address(images):
        return images.rstrip("/") if tf.io.gfile.isdir(images) else images.rpartition("/")[0]
    path = os.path.abspath(images)
    return path if os.path.isdir(path) else os.path.dirname(path)


def by_name(paths: Iterable[str], folder: str) -> dict[str, str]:
    """Files by the names that a table may give them: the path below the folder, with or without
    its suffix, or the name alone, without suffix; where two share one, the one nearer to the top.
    """
    relative = {path: below(path, folder) for path in paths}
    by_depth = sorted(relative, key=lambda path: (relative[path].count("/"), path))
    known = {relative[path]: path for path in by_depth}
    for path in by_depth:
        known.setdefault(os.path.splitext(relative[path])[0], path)
    for path in by_depth:
        known.setdefault(Path(path).stem, path)
    return known


def below(path: str, folder: str) -> str:
    """The path of a file relative to a folder above it, on disk or at an address."""
    if storage.is_address(path):
        return path.removeprefix(folder.rstrip("/") + "/")
    return os.path.relpath(path, folder).replace(os.sep, "/")


def _pictures(where: str) -> list[str]:
    if storage.is_address(where):
        storage.check_reachable(where)
        found = list(_at_address(where))
    elif os.path.isdir(where):
        found = [str(path) for path in Path(where).rglob("*") if path.is_file()]
    elif os.path.lexists(where):
        return [where]
    else:
        raise DataError(f"--images='{where}': no such file or folder")
    if found == [where]:
        return found
    pictures = sorted(path for path in found if path.lower().endswith(SUFFIXES))
    if not pictures:
        raise DataError(f"no pictures below '{where}' ({', '.join(SUFFIXES)})")
    return pictures


def _at_address(where: str) -> Iterator[str]:
    try:
        if not tf.io.gfile.isdir(where):
            tf.io.gfile.stat(where)  # raises if there is none
            yield where
            return
        for folder, _, names in tf.io.gfile.walk(where, onerror=_raise):
            yield from (f"{folder.rstrip('/')}/{name}" for name in names)
    except tf.errors.OpError as error:
        raise storage.problem(where, error) from None


def _raise(error: Exception) -> None:
    raise error


def _lines(path: str) -> list[str]:
    """The lines of a list, as paths."""
    try:
        text = read_regular(path, MAX_LIST_BYTES).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise DataError(f"--images='{path}': {reason}") from None
    lines = [os.path.expanduser(line.strip()) for line in text.splitlines()]
    if not any(lines):
        raise DataError(f"--images='{path}' lists no picture")
    folder = os.path.dirname(path)
    return [
        line if storage.is_address(line) else os.path.join(folder, line) for line in lines if line
    ]
