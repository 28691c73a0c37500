"""CIFAR-10 and CIFAR-100 as distributed: a folder of their files, or the .tar.gz itself."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import Any

from preprocess.shell.errors import DataError, UsageError
from preprocess.sources import cifar_batches, item_readers
from preprocess.sources.cifar_batches import PICTURE_BYTES, Batch, parse_batch, unpickle
from preprocess.sources.folder import Folder, open_folder
from preprocess.sources.labelled_items import Item, labelled_source
from preprocess.sources.places import Place
from preprocess.sources.refusals import Refused
from preprocess.sources.rows import Request, Source
from preprocess.sources.source_kind import Evidence, SourceKind
from preprocess.sources.splitting import TEST, TRAIN

_BATCH = re.compile(r"(data_batch_\d|test_batch|train|test)(\.bin)?")
# Files of class names: a pickle in the Python version, text with a line each in the binary one.
_META = {"batches.meta", "meta"}
_META_TEXTS = {
    "batches.meta.txt": "labels",
    "fine_label_names.txt": "fine_labels",
    "coarse_label_names.txt": "coarse_labels",
}
_DEFAULT_KINDS = ("labels", "fine_labels")


def read(request: Request) -> Source:
    """Reads labels and names of all batches; a picture is a row of a batch."""
    root = open_folder(request.images, "--images", request.follow_links)
    names = sorted(root.walk(""))
    batches = [name for name in names if _BATCH.fullmatch(posixpath.basename(name))]
    if not batches:
        raise DataError(f"no data_batch_1, train or their .bin versions in '{request.images}'")
    if len({name.endswith(".bin") for name in batches}) > 1:
        raise DataError(f"'{request.images}' has both the Python and the binary version; keep one")
    kind = _kind(request, _parsed(root, batches[0]))
    items = [item for name in batches for item in _items(root, name, kind)]
    return labelled_source(items, _class_names(root, names, kind), request)


def _kind(request: Request, batch: Batch) -> str:
    for ours, theirs in request.columns:
        if ours != "label" or theirs not in batch.labels:
            kinds = ", ".join(batch.labels)
            raise UsageError(f"--columns={ours}={theirs}: this source has label={kinds}")
        return theirs
    return next((kind for kind in _DEFAULT_KINDS if kind in batch.labels), "")


def _parsed(root: Folder, name: str) -> Batch:
    try:
        return parse_batch(posixpath.basename(name), _content(root, name))
    except ValueError as error:
        raise DataError(f"'{name}' in '{root.root}': {error}") from None


def _content(root: Folder, name: str) -> bytes:
    try:
        return item_readers.read_bytes(root.inside(name), cifar_batches.MAX_BYTES)
    except (OSError, Refused) as error:
        reason = error.detail if isinstance(error, Refused) else error.strerror
        raise DataError(f"cannot read '{name}' in '{root.root}': {reason}") from None


def _items(root: Folder, name: str, kind: str) -> Iterator[Item]:
    batch = _parsed(root, name)
    if kind not in batch.labels:
        raise DataError(f"'{name}' in '{root.root}' has no {kind or 'labels'}")
    base = posixpath.basename(name)
    split = TEST if base.startswith("test") else TRAIN
    path = root.inside(name)
    for row, label in enumerate(batch.labels[kind]):
        picture = batch.names[row] if batch.names else f"{base.partition('.')[0]}-{row:05d}"
        place = Place(cifar_batches.CIFAR, PICTURE_BYTES, f"{row},{base}", path)
        yield Item(split, label, picture, place)


def _class_names(root: Folder, names: list[str], kind: str) -> list[str]:
    """Class names by number; [] if their file is missing."""
    for name in names:
        base = posixpath.basename(name)
        if _META_TEXTS.get(base) == kind:
            lines = _content(root, name).decode("utf-8", "replace").splitlines()
            return [line.strip() for line in lines if line.strip()]
        if base in _META:
            return _of_meta(root, name, kind)
    return []


def _of_meta(root: Folder, name: str, kind: str) -> list[str]:
    try:
        meta: Any = unpickle(_content(root, name))
        key = f"{kind.removesuffix('s')}_names".encode()
        return [bytes(text).decode("utf-8", "replace") for text in meta[key]]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"'{name}' in '{root.root}' has no class names: {error}") from None


def _recognise(evidence: Evidence) -> str:
    if evidence.request.csv:
        return ""
    bases = {posixpath.basename(name) for name in evidence.sample}
    found = sorted(name for name in bases if _BATCH.fullmatch(name))
    sure = [name for name in found if "batch" in name or name.endswith(".bin") or "meta" in bases]
    return f"CIFAR's file {sure[0]}" if sure else ""


KIND = SourceKind(
    name="cifar",
    layout=(
        "CIFAR-10's or CIFAR-100's files, binary or Python version (--images=DIR or the .tar.gz; "
        "--columns=label=coarse_labels)"
    ),
    read=read,
    recognise=_recognise,
    variants=1,
    encoding="png",
    owns_images=True,
)
