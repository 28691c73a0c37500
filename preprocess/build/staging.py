"""Copies a finished dataset between Google Cloud Storage and a local disk, checked by its hashes.

In both directions the manifest is written last: readers of the copy see a complete dataset or none.
Existing files with the right bytes are skipped, so an interrupted copy resumes where it stopped,
and a copy of an extended dataset transfers only what is new. The build's own folder is not copied:
the copy has what is read, not how it was made.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from io import BufferedIOBase
from typing import Any

from preprocess import dataset_format as df
from preprocess import storage
from preprocess.build.publish import all_shards, remove_leftovers, write_metadata
from preprocess.shards.reading import find_manifest, load_manifest
from preprocess.shards.workspace import FOLDER, Workspace
from preprocess.shell.errors import ConfigError, DataError, StorageError, UsageError
from preprocess.shell.progress import progress
from preprocess.storage import gcs, local

PARTIAL_FOLDER = ".fetch"  # below the local directory: partial files and the lock
# An upload holds its file in memory; more files at a time do not use a network any better.
FILES_AT_A_TIME = 8
_TEXTS = (df.RECIPE_FILE, df.LABELS_FILE, df.REJECTED_FILE)  # not every dataset has each


@dataclasses.dataclass(frozen=True)
class Item:
    """A file of a dataset and its expected bytes."""

    file: str
    info: storage.Info  # of the source
    sha256: str  # "" if the manifest does not have it: for indexes and texts


def fetch(source: str, target: str, overwrite: bool) -> dict[str, Any]:
    """Copies the dataset at gs://... to a local directory and returns what `--json` prints.

    A second fetch into the same directory waits for the first one and finds everything there.

    Raises DataError if there is no dataset or its bytes do not match its manifest, UsageError and
    ConfigError if the target has something else, StorageError if the connection is lost and retries
    fail.
    """
    started = time.monotonic()
    source, target = storage.absolute(source), os.path.abspath(target)
    manifest = load_manifest(source)
    items = _items(manifest, source)
    _check_target(target, manifest, overwrite)
    with _alone(target) as partial, _progress("fetch", items) as advance:
        kept = _published(target, manifest)

        def one(item: Item) -> int:
            path = os.path.join(target, item.file)
            copied = 0 if _is_there(path, item) else _download(source, item, path, partial)
            advance(item.info.size)
            return copied

        copied = gcs.in_parallel(one, items, FILES_AT_A_TIME)
        if not kept:
            _remove_leftovers(target, manifest, items)
            write_metadata(target, manifest)
    return _summary(manifest, items, copied, started)


def push(source: str, target: str, overwrite: bool) -> dict[str, Any]:
    """Copies a local dataset to gs://... and returns what `--json` prints.

    Raises as `fetch` does, and UsageError if a build or another push is writing there.
    """
    started = time.monotonic()
    source, target = os.path.abspath(source), storage.absolute(target)
    manifest = load_manifest(source)
    items = _items(manifest, source)
    _check_target(target, manifest, overwrite)
    with Workspace(target).locked("a push") as lock, _progress("push", items) as advance:
        there = storage.tree(target)
        kept = _published(target, manifest)

        def one(item: Item) -> int:
            copied = _upload(os.path.join(source, item.file), target, item, there.get(item.file))
            advance(item.info.size)
            return copied

        copied = gcs.in_parallel(one, items, FILES_AT_A_TIME)
        if not kept:
            _remove_leftovers(target, manifest, items)
            lock.check()
            write_metadata(target, manifest)
    return _summary(manifest, items, copied, started)


def _items(manifest: df.Manifest, dataset: str) -> list[Item]:
    """All files of a dataset except the manifest; raises DataError if one is missing."""
    listing = storage.tree(dataset)
    sha256 = {shard.file: shard.sha256 for shard in all_shards(manifest)}
    indexes = [df.index_file(s.file) for s in all_shards(manifest) if s.kind == df.IMAGES]
    files = [*sha256, *indexes, *(name for name in _TEXTS if name in listing)]
    missing = [file for file in files if file not in listing]
    if missing:
        raise DataError(
            f"'{dataset}' lacks {len(missing)} files that its manifest names, such as "
            f"{missing[0]}; `preprocess verify` lists them all"
        )
    return [Item(file, listing[file], sha256.get(file, "")) for file in files]


def _check_target(target: str, manifest: df.Manifest, overwrite: bool) -> None:
    """Raises if the copy would replace something other than a copy of the same dataset."""
    try:
        names = set(storage.names(target))
    except OSError as error:
        raise UsageError(f"'{target}': {error.strerror}") from None
    if names and not names & {df.MANIFEST_FILE, PARTIAL_FOLDER, FOLDER}:
        raise UsageError(f"'{target}' is not empty and has no dataset; choose another")
    if overwrite or df.MANIFEST_FILE not in names:
        return
    with contextlib.suppress(df.DatasetError):
        other = find_manifest(target)
        if other.digest != manifest.digest:
            raise ConfigError(
                f"'{target}' holds another dataset (digest {other.digest[:12]}..., not "
                f"{manifest.digest[:12]}...); choose another place, or --overwrite"
            )


def _is_there(path: str, item: Item) -> bool:
    """Whether the local file has the right bytes."""
    try:
        if local.size(path) != item.info.size:
            return False
        with local.open_read(path) as file:
            if item.sha256:
                return hashlib.file_digest(file, "sha256").hexdigest() == item.sha256
            return gcs.crc32c(file) == item.info.crc32c
    except FileNotFoundError:
        return False


def _download(source: str, item: Item, path: str, partial: str) -> int:
    """The number of bytes copied: all of the file."""
    where = f"{source}/{item.file}"
    name = hashlib.sha256(item.file.encode("utf-8")).hexdigest()[:16]
    pending = local.Pending(path, os.path.join(partial, f"{name}.part"))
    try:
        gcs.download(where, item.info, pending.file)
        pending.file.seek(0)
        _check_sha256(where, item, pending.file)
        pending.publish()
    except FileNotFoundError:
        raise StorageError(
            f"'{where}' was replaced while it was copied; run the same command again"
        ) from None
    finally:
        pending.discard()
    return item.info.size


def _upload(path: str, target: str, item: Item, there: storage.Info | None) -> int:
    """The number of bytes copied: none if the object already has them."""
    with local.open_read(path) as file:
        _check_sha256(path, item, file)
        crc32c = gcs.crc32c(file)
        if there is not None and (there.size, there.crc32c) == (item.info.size, crc32c):
            return 0
        gcs.upload(f"{target}/{item.file}", file, checksum=crc32c)
    return item.info.size


def _check_sha256(path: str, item: Item, file: BufferedIOBase) -> None:
    if item.sha256 and hashlib.file_digest(file, "sha256").hexdigest() != item.sha256:
        raise DataError(
            f"'{path}' does not have the sha256 of the manifest; run `preprocess verify`"
        )


def _published(target: str, manifest: df.Manifest) -> bool:
    """Whether the target already has this manifest. Another one is removed: a reader must not
    mistake the new files for those that it names.
    """
    path = os.path.join(target, df.MANIFEST_FILE)
    try:
        if storage.read_text(path) == manifest.to_json():
            return True
    except FileNotFoundError:
        pass
    Workspace(target).withdraw_manifest()
    return False


def _remove_leftovers(target: str, manifest: df.Manifest, items: list[Item]) -> None:
    """Removes files that only the dataset before had."""
    remove_leftovers(target, manifest)
    for name in set(_TEXTS) - {item.file for item in items}:
        storage.remove(os.path.join(target, name))


@contextlib.contextmanager
def _alone(target: str) -> Iterator[str]:
    """Waits for other fetches into the same directory; yields the folder for partial files."""
    partial = os.path.join(target, PARTIAL_FOLDER)
    try:
        local.make_folder(partial)
    except OSError as error:
        raise UsageError(f"'{target}': {error.strerror}") from None
    notice = f"another fetch is filling '{target}'; waiting for it"
    with local.turn(os.path.join(partial, "lock"), "a fetch", notice):
        for name in local.names(partial):  # of a killed fetch
            if name.endswith(".part"):
                local.remove(os.path.join(partial, name))
        yield partial


@contextlib.contextmanager
def _progress(what: str, items: list[Item]) -> Iterator[Callable[[int], object]]:
    total = sum(item.info.size for item in items)
    with progress(total, "B", what, unit_scale=True) as bar:
        busy = threading.Lock()

        def advance(size: int) -> None:
            with busy:
                bar.update(size)

        yield advance


def _summary(
    manifest: df.Manifest, items: list[Item], copied: list[int], started: float
) -> dict[str, Any]:
    return {
        "digest": manifest.digest,
        "files": len(items),  # shards, indexes and texts; the metadata is written again
        "bytes": sum(item.info.size for item in items),
        "bytes_copied": sum(copied),
        "seconds": round(time.monotonic() - started, 3),
    }
