"""Parquet files of pictures, as written by Hugging Face datasets and others.

One column has the pictures' bytes, directly or as the field `bytes` of a struct {bytes, path};
another one has the label, a name or a number. The meaning of numbers is in the schema's metadata,
key `huggingface`: {"info": {"features": {COLUMN: {"_type": "ClassLabel", "names": [...]}}}}.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from preprocess import storage
from preprocess.shell.errors import DataError
from preprocess.sources.column_choice import check_given, choose
from preprocess.sources.container_files import ContainerFile, find_files
from preprocess.sources.labelled_items import Item, labelled_source
from preprocess.sources.parquet_rows import MAX_GROUP_BYTES, open_file, place
from preprocess.sources.rows import Request, Source
from preprocess.sources.source_kind import Evidence, SourceKind

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet

SUFFIX = ".parquet"
LARGE_GROUP_BYTES = 64 << 20
_LEAST_PICTURE_BYTES = 32
_UNCHECKED_ROWS = 100_000  # so many cost little
_IMAGES = ("image", "img", "picture", "photo", "jpg", "png")
_LABELS = ("label", "labels", "class", "target", "category")


class _Columns(NamedTuple):
    """The columns to read, in a file's schema."""

    image: str  # the leaf with the bytes: "image.bytes"
    path: str  # the leaf with the name; "" if there is none
    label: str
    names: tuple[str, ...]  # class names by number; () if the metadata has none


def read(request: Request) -> Source:
    """Reads labels and names of all rows; a picture is a row."""
    files = find_files(request, SUFFIX)
    items: list[Item] = []
    names: tuple[str, ...] | None = None
    warnings: list[str] = []
    for file in files:
        opened = _opened(file)
        columns = _find_columns(opened.schema_arrow, file.name, dict(request.columns))
        _check_rows(opened, file)
        if names is not None and names != columns.names:
            raise DataError(f"'{file.name}' has other class names than '{files[0].name}'")
        names = columns.names
        warnings += _of_groups(opened, file, columns, bool(warnings))
        items.extend(_items(opened, file, columns))
    source = labelled_source(items, names or (), request)
    source.warnings += warnings
    return source


def _opened(file: ContainerFile) -> pyarrow.parquet.ParquetFile:
    from pyarrow import ArrowException

    try:
        return open_file(file.path)
    except (OSError, ArrowException) as error:
        raise DataError(f"'{file.path}' is not a parquet file: {str(error)[:200]}") from None


def _find_columns(schema: pa.Schema, file: str, given: dict[str, str]) -> _Columns:
    check_given(given, "--columns", schema.names, file)
    features = _features(schema)
    image = given.get("image") or choose(
        "image", _IMAGES, _image_columns(schema), file, "--columns"
    )
    of_classes = [name for name, f in features.items() if f.get("_type") == "ClassLabel"]
    fitting = [name for name in of_classes if name in schema.names] or _label_columns(schema)
    label = given.get("label") or choose("label", _LABELS, fitting, file, "--columns")
    named = features.get(label, {}).get("names", ())
    names = tuple(map(str, named)) if isinstance(named, list) else ()
    fields = _struct_fields(schema.field(image).type)
    if fields and "bytes" not in fields:
        raise DataError(
            f"'{file}': column '{image}' has type {schema.field(image).type}, not bytes of pictures"
        )
    leaf = f"{image}.bytes" if fields else image
    return _Columns(leaf, f"{image}.path" if "path" in fields else "", label, names)


def _features(schema: pa.Schema) -> dict[str, dict[str, Any]]:
    """Hugging Face's metadata of each column; {} if there is none."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {name: value for name, value in features.items() if isinstance(value, dict)}
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def _image_columns(schema: pa.Schema) -> list[str]:
    import pyarrow as pa

    binary = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)
    return [
        field.name
        for field in schema
        if "bytes" in _struct_fields(field.type) or any(check(field.type) for check in binary)
    ]


def _label_columns(schema: pa.Schema) -> list[str]:
    import pyarrow as pa

    fitting = (pa.types.is_integer, pa.types.is_string, pa.types.is_large_string)
    return [field.name for field in schema if any(check(field.type) for check in fitting)]


def _struct_fields(kind: pa.DataType) -> list[str]:
    import pyarrow as pa

    return [field.name for field in kind] if pa.types.is_struct(kind) else []


def _of_groups(
    opened: pyarrow.parquet.ParquetFile, file: ContainerFile, columns: _Columns, warned: bool
) -> list[str]:
    """Rejects row groups that are too large to decode; warns about large ones, once."""
    largest = max(
        (_chunk_bytes(opened, group, columns.image) for group in range(opened.num_row_groups)),
        default=0,
    )
    if largest > MAX_GROUP_BYTES:
        raise DataError(
            f"'{file.name}' has a row group of {largest >> 20} MB, and each picture needs its "
            "whole row group; write the file with row_group_size=100"
        )
    if largest < LARGE_GROUP_BYTES or warned:
        return []
    return [
        f"'{file.name}' has row groups of up to {largest >> 20} MB, each of which is decoded for "
        "every picture in it; for a faster build, write it with row_group_size=100"
    ]


def _check_rows(opened: pyarrow.parquet.ParquetFile, file: ContainerFile) -> None:
    """Equal values take no room in a file: it could claim more rows than any memory holds."""
    rows, size = opened.metadata.num_rows, storage.size(file.path)
    groups = sum(opened.metadata.row_group(n).num_rows for n in range(opened.num_row_groups))
    if max(rows, groups) > max(size // _LEAST_PICTURE_BYTES, _UNCHECKED_ROWS):
        raise DataError(
            f"'{file.name}' claims {max(rows, groups)} pictures in {size} bytes, fewer than "
            f"{_LEAST_PICTURE_BYTES} a picture; it is damaged, or made to exhaust its reader"
        )


def _chunk_bytes(opened: pyarrow.parquet.ParquetFile, group: int, column: str) -> int:
    metadata = opened.metadata.row_group(group)
    chunks = (metadata.column(n) for n in range(metadata.num_columns))
    return sum(c.total_uncompressed_size for c in chunks if c.path_in_schema == column)


def _items(
    opened: pyarrow.parquet.ParquetFile, file: ContainerFile, columns: _Columns
) -> Iterator[Item]:
    from pyarrow import ArrowException

    wanted = [columns.label, *filter(None, [columns.path])]
    number = 0
    for group in range(opened.num_row_groups):
        try:
            table = opened.read_row_group(group, columns=wanted)
        except (OSError, ArrowException) as error:
            raise DataError(f"'{file.path}' is damaged: {str(error)[:200]}") from None
        labels = table.column(columns.label).to_pylist()
        paths: list[Any] = [None] * len(labels)
        if columns.path:
            image = columns.path.removesuffix(".path")
            paths = [value and value["path"] for value in table.column(image).to_pylist()]
        size = _chunk_bytes(opened, group, columns.image) // max(len(labels), 1)
        for row, (label, path) in enumerate(zip(labels, paths, strict=True)):
            name = path if path and isinstance(path, str) else f"{file.stem}-{number:07d}"
            yield Item(file.split, label, name, place(file.path, size, group, row, columns.image))
            number += 1


def _recognise(evidence: Evidence) -> str:
    name = evidence.holds(SUFFIX)
    return f"the parquet file {name}" if name else ""


KIND = SourceKind(
    name="parquet",
    layout=(
        "parquet files with a column of pictures and one of labels, as Hugging Face datasets "
        "writes them (--images=DIR or FILE; --columns=image=A,label=B)"
    ),
    read=read,
    recognise=_recognise,
    owns_images=True,
)
