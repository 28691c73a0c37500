"""Finds the features of a tf.train.Example in a file without reading their bytes.

The messages, by field number: Example {1: Features}, Features {1: map of name to Feature}, Feature
{1: BytesList, 2: FloatList, 3: Int64List}, each of them {1: values}. A record is framed as in
`shards/tfrecord.py`. Sources: tensorflow/core/example/{example,feature}.proto and Protocol Buffers'
description of its encoding.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from mmap import mmap
from typing import NamedTuple

from preprocess.shell.checksum import masked_crc

HEADER_BYTES, FOOTER_BYTES = 12, 4
BYTES, FLOATS, INTS = 1, 2, 3

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_FIXED_BYTES = {_FIXED64: 8, _FIXED32: 4}

Buffer = mmap | bytes


class Value(NamedTuple):
    """The values of a feature: for bytes the location of the first, for integers its value."""

    kind: int  # BYTES, FLOATS or INTS
    values: int  # their number
    start: int  # of the first of BYTES
    stop: int
    number: int  # the first of INTS


def record_spans(data: Buffer) -> Iterator[tuple[int, int]]:
    """Start and end of the payload of each record; raises ValueError at the first damage."""
    at, size = 0, len(data)
    while at < size:
        header = data[at : at + HEADER_BYTES]
        if len(header) < HEADER_BYTES or header[8:] != masked_crc(header[:8]):
            raise ValueError(f"damaged record header at byte {at}")
        start = at + HEADER_BYTES
        stop = start + struct.unpack("<Q", header[:8])[0]
        if stop + FOOTER_BYTES > size:
            raise ValueError(f"the file ends inside the record at byte {at}")
        yield start, stop
        at = stop + FOOTER_BYTES


def parse_features(data: Buffer, start: int, stop: int) -> dict[str, Value]:
    """The features of an Example by name; raises ValueError if the bytes are not an Example."""
    features: dict[str, Value] = {}
    for number, message_start, message_stop in _messages(data, start, stop):
        if number != 1:
            continue
        for _, entry_start, entry_stop in _messages(data, message_start, message_stop):
            parts = {n: (a, b) for n, a, b in _messages(data, entry_start, entry_stop)}
            if 1 in parts and 2 in parts:
                name = data[slice(*parts[1])].decode("utf-8")
                features[name] = _value(data, *parts[2])
    return features


def _value(data: Buffer, start: int, stop: int) -> Value:
    for kind, list_start, list_stop in _messages(data, start, stop):
        if kind == INTS:
            numbers = list(_numbers(data, list_start, list_stop))
            return Value(INTS, len(numbers), 0, 0, numbers[0] if numbers else 0)
        values = [(a, b) for _, a, b in _messages(data, list_start, list_stop)]
        first = values[0] if values else (0, 0)
        return Value(kind, len(values), *first, 0)
    return Value(BYTES, 0, 0, 0, 0)


def _numbers(data: Buffer, start: int, stop: int) -> Iterator[int]:
    """The values of an Int64List, packed or not."""
    at = start
    while at < stop:
        tag, at = _varint(data, at, stop)
        if tag & 7 == _VARINT:
            value, at = _varint(data, at, stop)
            yield _signed(value)
            continue
        length, at = _varint(data, at, stop)
        end = at + length
        if tag & 7 != _LENGTH or end > stop:
            raise ValueError("not a list of integers")
        while at < end:
            value, at = _varint(data, at, end)
            yield _signed(value)


def _messages(data: Buffer, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """(field number, start, end) of each field that has a length; skips others."""
    at = start
    while at < stop:
        tag, at = _varint(data, at, stop)
        wire = tag & 7
        if wire == _VARINT:
            _, at = _varint(data, at, stop)
            continue
        if wire in _FIXED_BYTES:
            at += _FIXED_BYTES[wire]
            continue
        if wire != _LENGTH:
            raise ValueError(f"not a message: wire type {wire}")
        length, at = _varint(data, at, stop)
        if at + length > stop:
            raise ValueError("a field is longer than its message")
        yield tag >> 3, at, at + length
        at += length


def _varint(data: Buffer, at: int, stop: int) -> tuple[int, int]:
    value = shift = 0
    while at < stop and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("an integer is not terminated")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value
