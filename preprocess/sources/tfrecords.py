"""TFRecords from elsewhere, and folders of tensorflow-datasets, read without TensorFlow.

A record is a tf.train.Example with a picture's file as bytes and a label, a number or a name. In a
TFDS folder, features.json says which is which, and LABEL.labels.txt has the class names.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from preprocess import storage
from preprocess.dataset_format import MANIFEST_FILE
from preprocess.shell.checksum import masked_crc
from preprocess.shell.errors import DataError
from preprocess.sources.column_choice import check_given, choose
from preprocess.sources.container_files import ContainerFile, find_files, read_names
from preprocess.sources.example_spans import BYTES, INTS, Value, parse_features, record_spans
from preprocess.sources.labelled_items import Item, Label, labelled_source
from preprocess.sources.places import Place
from preprocess.sources.refusals import Reason, Refused
from preprocess.sources.rows import Request, Source
from preprocess.sources.source_kind import Evidence, SourceKind
from preprocess.sources.spans import SPAN
from preprocess.sources.splitting import is_split_name

SUFFIXES = (".tfrecord", ".tfrecords", ".tfrec", ".record")
MAX_TEXT_BYTES = 16 << 20  # of features.json and lists of names
_IMAGES = ("image", "image/encoded", "image_raw", "img", "picture", "jpeg", "png")
_LABELS = ("label", "image/class/label", "image/label", "class", "target", "labels")
_NAMES = ("image/filename", "file_name", "filename", "image/file_name", "image/id")
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*")
_GZIP = b"\x1f\x8b"


class _Metadata(NamedTuple):
    """A TFDS folder's description; all empty for other folders."""

    images: list[str]
    labels: list[str]
    splits: list[str]


class _Features(NamedTuple):
    """The features to read."""

    image: str
    label: str
    name: str  # of the picture; "" if there is none


def read(request: Request) -> Source:
    """Finds each record's picture, and reads its label."""
    folder = request.images if not os.path.isfile(request.images) else ""
    folder = folder or os.path.dirname(os.path.abspath(request.images))
    if storage.exists(os.path.join(folder, MANIFEST_FILE)):
        raise DataError(f"'{request.images}' is a dataset already; train on it with --data")
    metadata = _metadata(folder)
    lower = [name.lower() for name in metadata.splits]
    files = find_files(request, SUFFIXES, splits=lower)
    given = dict(request.features)
    items: list[Item] = []
    chosen: _Features | None = None
    for file in files:
        with _mapped(file) as data:
            chosen = chosen or _choose(data, file, given, metadata)
            if chosen:
                items.extend(_items(data, file, chosen))
    names = _class_names(folder, chosen.label) if chosen else []
    return labelled_source(items, names, request)


def _metadata(folder: str) -> _Metadata:
    info = _json(os.path.join(folder, "dataset_info.json"))
    features = _json(os.path.join(folder, "features.json"))
    for key in ("featuresDict", "features"):
        features = _object(features.get(key))
    format_ = info.get("fileFormat", "tfrecord")
    if format_ != "tfrecord":
        raise DataError(f"'{folder}' has format {format_!a}; only TFDS's tfrecord is read")
    listed = info.get("splits")
    splits = [_object(each).get("name", "") for each in listed] if isinstance(listed, list) else []
    for name in splits:
        if not isinstance(name, str) or not is_split_name(name):
            raise DataError(
                f"'{folder}' has a split called {str(name)[:80]!a}, a name that no split can have"
            )
    kinds = {name: str(_object(v).get("pythonClassName", "")) for name, v in features.items()}
    return _Metadata(
        [name for name, kind in kinds.items() if kind.endswith(".Image")],
        [name for name, kind in kinds.items() if kind.endswith(".ClassLabel")],
        splits,
    )


def _json(path: str) -> dict[str, Any]:
    try:
        value = json.loads(storage.read_bytes(path, MAX_TEXT_BYTES))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"'{path}' cannot be read: {error}") from None
    return _object(value)


def _object(value: object) -> dict[str, Any]:
    """A JSON object as it is, {} for anything else."""
    return value if isinstance(value, dict) else {}


def _class_names(folder: str, label: str) -> list[str]:
    path = os.path.join(folder, f"{label.replace('/', '.')}.labels.txt")
    return read_names(path, MAX_TEXT_BYTES) if storage.exists(path) else []


@contextlib.contextmanager
def _mapped(file: ContainerFile) -> Iterator[mmap.mmap | bytes]:
    """The file's bytes; only the parts that are used are read."""
    with storage.open_read(file.path) as opened:
        if not opened.seek(0, os.SEEK_END):
            yield b""
            return
        opened.seek(0)
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data[:2] == _GZIP and data[8:12] != masked_crc(data[:8]):
                raise DataError(f"'{file.name}' is gzipped; unpack it first (gunzip)")
            yield data


def _choose(
    data: mmap.mmap | bytes, file: ContainerFile, given: Mapping[str, str], metadata: _Metadata
) -> _Features | None:
    """The features to read, from the first record; None if the file has none."""
    try:
        start, stop = next(record_spans(data), (0, 0))
        features = parse_features(data, start, stop)
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError(
            f"'{file.name}' is not a TFRecord file of tf.train.Example: {error}"
        ) from None
    if not features:
        return None
    check_given(given, "--features", features, file.name)
    pictures = metadata.images or [n for n, v in features.items() if _is_picture(data, v)]
    single = [n for n, v in features.items() if v.values == 1 and n not in pictures]
    labels = metadata.labels or [n for n in single if features[n].kind == INTS]
    labels = labels or [n for n in single if features[n].kind == BYTES]
    usual = [n for n in labels if n.lower() in _LABELS]
    return _Features(
        given.get("image") or choose("image", _IMAGES, pictures, file.name, "--features"),
        given.get("label")
        or choose("label", _LABELS, usual[:1] or labels, file.name, "--features"),
        next((name for name in _NAMES if name in features), ""),
    )


def _is_picture(data: mmap.mmap | bytes, value: Value) -> bool:
    return value.kind == BYTES and data[value.start : value.start + 4].startswith(_SIGNATURES)


def _items(data: mmap.mmap | bytes, file: ContainerFile, chosen: _Features) -> Iterator[Item]:
    row = 0
    try:
        for row, (start, stop) in enumerate(record_spans(data)):
            yield _item(data, file, chosen, row, (start, stop))
    except ValueError as error:
        raise DataError(f"'{file.path}', after {row + 1} records: {error}") from None


def _item(
    data: mmap.mmap | bytes,
    file: ContainerFile,
    chosen: _Features,
    row: int,
    span: tuple[int, int],
) -> Item:
    name = f"{file.stem}-{row:07d}"
    try:
        features = parse_features(data, *span)
    except (ValueError, UnicodeDecodeError) as error:
        reason = Refused(Reason.UNREADABLE_ROW, f"not a tf.train.Example: {error}")
        return Item(file.split, None, name, reason)
    image, label = features.get(chosen.image), features.get(chosen.label)
    named = features.get(chosen.name)
    if named and named.kind == BYTES and named.values:
        name = data[named.start : named.stop].decode("utf-8", "replace") or name
    place: Place | Refused = Refused(Reason.MISSING_PICTURE, f"no {chosen.image} in the record")
    if image and image.kind == BYTES and image.values == 1:
        place = Place(SPAN, image.stop - image.start, str(image.start), file.path)
    return Item(file.split, _label(data, label), name, place)


def _label(data: mmap.mmap | bytes, value: Value | None) -> Label:
    if value is None or value.values != 1 or value.kind not in (BYTES, INTS):
        return None
    if value.kind == INTS:
        return value.number
    return data[value.start : value.stop].decode("utf-8", "replace")


def _recognise(evidence: Evidence) -> str:
    name = evidence.holds(SUFFIXES)
    return f"the TFRecord file {name}" if name else ""


KIND = SourceKind(
    name="tfrecords",
    layout=(
        "TFRecords from elsewhere with a picture's file and a label in each record, or a folder of "
        "tensorflow-datasets (--images=DIR or FILE; --features=image=A,label=B)"
    ),
    read=read,
    recognise=_recognise,
    owns_images=True,
)
