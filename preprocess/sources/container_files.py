"""Files with many pictures each: finds them, and the split that a file name indicates."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from typing import NamedTuple

from preprocess import storage
from preprocess.shell.errors import DataError, UsageError
from preprocess.sources.archives import split_path
from preprocess.sources.folder import open_folder
from preprocess.sources.places import parse
from preprocess.sources.refusals import Refused
from preprocess.sources.rows import Request
from preprocess.sources.splitting import SPELLINGS

_NUMBERING = re.compile(r"[-_.]?\d+-of-\d+")


class ContainerFile(NamedTuple):
    """A file of pictures."""

    path: str  # absolute, or gs://
    name: str  # relative to --images
    split: str  # the split in its name; "" if there is none

    @property
    def stem(self) -> str:
        """The file's name without folders and suffix."""
        return os.path.basename(self.name).partition(".")[0]


def find_files(
    request: Request,
    suffixes: str | tuple[str, ...],
    archives: bool = False,
    splits: Collection[str] = (),
) -> list[ContainerFile]:
    """The files with one of these suffixes: --images itself, or all below it. Raises UsageError or
    DataError if there are none. With `archives`, an archive is one of these files; `splits` are
    names of splits, in lower case, besides the usual ones.
    """
    images, spellings = request.images, {*request.splits.spellings, *splits}
    if not images:
        raise UsageError("--images is required for this source")
    if names_container(images) or (archives and _is_file(images)):
        path = storage.absolute(images)
        if not storage.exists(path):
            raise DataError(f"--images='{images}' does not exist")
        name = os.path.basename(path)
        return [ContainerFile(path, name, split_in_name(name, spellings))]
    root = open_folder(images, "--images", request.follow_links)
    names = sorted(name for name in root.walk("") if has_suffix(name, suffixes))
    if not names:
        shown = suffixes if isinstance(suffixes, str) else ", ".join(suffixes)
        raise DataError(f"--images='{images}' has no {shown} file")
    try:
        files = [ContainerFile(root.inside(n), n, split_in_name(n, spellings)) for n in names]
    except Refused as refused:
        raise DataError(f"a file in --images='{images}' cannot be read: {refused.detail}") from None
    if parse(files[0].path):
        raise DataError(
            f"'{images}' has {names[0]}: files of many pictures are not read inside an archive; "
            "unpack it"
        )
    return files


def read_names(path: str, most_bytes: int) -> list[str]:
    """The lines of a small file of class names; raises DataError if it cannot be read."""
    try:
        text = storage.read_bytes(path, most_bytes).decode("utf-8-sig", "replace")
    except OSError as error:
        raise DataError(f"cannot read '{path}': {error.strerror}") from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def names_container(path: str) -> bool:
    """Whether --images names a file of many pictures, not a folder or an archive."""
    return split_path(path) is None and _is_file(path)


def _is_file(path: str) -> bool:
    return os.path.isfile(path) or (storage.is_remote(path) and is_container_name(path))


CONTAINER_SUFFIXES = (".parquet", ".tfrecord", ".tfrecords")


def is_container_name(name: str) -> bool:
    """Whether a file contains many pictures, by its suffix."""
    return has_suffix(name, CONTAINER_SUFFIXES)


def has_suffix(name: str, suffixes: str | tuple[str, ...]) -> bool:
    """Whether a name has this suffix, ignoring a shard number (`-00000-of-00008`)."""
    return _NUMBERING.sub("", name.lower()).endswith(suffixes)


def split_in_name(name: str, splits: Collection[str] = SPELLINGS) -> str:
    """The word in a file's name that names a split, such as train in
    `data/beans-train-00000-of-00002.parquet`, or in the name of a parent folder; "" if there is
    none.
    """
    words = "|".join(sorted(map(re.escape, splits), key=len, reverse=True))
    pattern = re.compile(rf"(?:^|[-_.])({words})(?=$|[-_.\d])", re.IGNORECASE)
    for part in reversed(name.split("/")):
        if found := pattern.findall(_NUMBERING.sub("", part)):
            return str(found[-1])
    return ""
