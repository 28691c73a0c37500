"""Checkpoints of strangers: the index is looked at before TensorFlow reads it.

TensorFlow ends the whole process, without an error that could be caught, where an index claims a
shape that is none; and takes memory for any other before it looks for the numbers. An index is a
table of LevelDB's format with a BundleEntryProto for each tensor.
"""

from __future__ import annotations

import glob
import math
import struct
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import tensor_bundle_pb2

from preprocess.shell.regular_files import NotRegularFileError, open_regular, read_regular

MAX_INDEX_BYTES = 256 << 20  # a million tensors
_MAX_DIMENSIONS = 253
_FOOTER, _MAGIC = 48, struct.pack("<Q", 0xDB4775248B80FB57)
_PLAIN = 0  # the type of a block that is not compressed, as TensorFlow writes all of them
_HEADER = b""  # the key of the header of the whole checkpoint


def check_checkpoint(prefix: str) -> None:
    """Raises ValueError or OSError where a checkpoint is not read: its files are no plain ones, or
    a tensor is of another size than the bytes that belong to it.
    """
    index = Path(f"{prefix}.index")
    try:
        entries = dict(_entries(read_regular(index, MAX_INDEX_BYTES)))
        header = tensor_bundle_pb2.BundleHeaderProto.FromString(entries.pop(_HEADER))
        shards = sorted(index.parent.glob(f"{glob.escape(index.stem)}.data-*"))
        if header.num_shards != len(shards):
            raise ValueError(f"{len(shards)} files of data, of {header.num_shards}")
        sizes = list(map(_plain_size, shards))
        for name, value in entries.items():
            _check_entry(name, tensor_bundle_pb2.BundleEntryProto.FromString(value), sizes)
    except (IndexError, KeyError, struct.error, DecodeError, TypeError, OverflowError) as error:
        raise ValueError(f"'{index.name}' is no index of a checkpoint: {error}") from None


def _plain_size(path: Path) -> int:
    if not path.exists():
        raise NotRegularFileError(str(path))
    with open_regular(path) as file:
        return file.seek(0, 2)


def _check_entry(name: bytes, entry: tensor_bundle_pb2.BundleEntryProto, sizes: list[int]) -> None:
    dtype = tf.dtypes.as_dtype(entry.dtype)
    shape = [dimension.size for dimension in entry.shape.dim]
    text, least = dtype == tf.string, math.prod(shape)
    if not (text or dtype.is_floating or dtype.is_integer or dtype.is_bool) or entry.slices:
        reason = f"{dtype.name}, which is not read"
    elif entry.shape.unknown_rank or len(shape) > _MAX_DIMENSIONS or min(shape, default=0) < 0:
        reason = "a shape that is none"
    # A text has at least the byte of its length.
    elif least > entry.size if text else least * dtype.size != entry.size:
        reason = f"{entry.size} bytes for the shape {shape[:9]}"
    elif not 0 <= entry.shard_id < len(sizes):
        reason = "no file"
    elif not 0 <= entry.offset <= entry.offset + entry.size <= sizes[entry.shard_id]:
        reason = "bytes outside of its file"
    else:
        return
    raise ValueError(f"the tensor {name.decode('utf-8', 'replace')[:80]!r} has {reason}")


def _entries(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(key, value) of a table in LevelDB's format; raises ValueError, IndexError, struct.error."""
    footer = table[-_FOOTER:]
    if len(footer) < _FOOTER or not footer.endswith(_MAGIC):
        raise ValueError("no table")
    at = 0
    for _ in range(2):  # where the block of metadata is
        _, at = _number(footer, at)
    handle, _ = _handle(footer, at)
    for _, place in _of_block(table, handle):
        yield from _of_block(table, _handle(place, 0)[0])


def _of_block(table: bytes, handle: tuple[int, int]) -> Iterator[tuple[bytes, bytes]]:
    offset, size = handle
    if offset + size >= len(table) or table[offset + size] != _PLAIN:
        raise ValueError("a block that is compressed, or beyond the end")
    block = memoryview(table)[offset : offset + size]
    (restarts,) = struct.unpack("<I", block[-4:])
    end = size - 4 - 4 * restarts
    at, key = 0, b""
    while at < end:
        shared, at = _number(block, at)
        own, at = _number(block, at)
        length, at = _number(block, at)
        if shared > len(key) or at + own + length > end:
            raise ValueError("an entry that is longer than its block")
        key = key[:shared] + bytes(block[at : at + own])
        at += own
        yield key, bytes(block[at : at + length])
        at += length


def _handle(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    offset, at = _number(data, at)
    size, at = _number(data, at)
    return (offset, size), at


def _number(data: bytes | memoryview, at: int) -> tuple[int, int]:
    """A varint and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a number of more than 64 bits")
