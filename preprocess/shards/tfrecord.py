"""TFRecord files and tf.train.Example messages without TensorFlow.

A record is framed as: length (uint64, little endian), masked CRC-32C of the length
(uint32), payload, masked CRC-32C of the payload (uint32). Source of format and mask:
the TFRecord description in TensorFlow's `record_writer.h`.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator, Mapping
from io import BufferedIOBase
from types import TracebackType

from google.protobuf.message import DecodeError

from preprocess import storage
from preprocess.dataset_format import IndexEntry
from preprocess.shell.checksum import frame, masked_crc
from preprocess.shell.example_message import Example

FRAME_BYTES = 16  # what framing adds to a payload
_HEADER_BYTES = 12

Feature = bytes | int | list[int] | list[float]


class RecordError(Exception):
    """A file that is not whole TFRecords; the message names the byte where it breaks."""


def unframe(record: bytes) -> bytes:
    """The payload of one framed record; raises RecordError if a checksum is wrong."""
    if len(record) < FRAME_BYTES or record[8:12] != masked_crc(record[:8]):
        raise RecordError("damaged record header")
    payload = record[_HEADER_BYTES:-4]
    if struct.unpack("<Q", record[:8])[0] != len(payload):
        raise RecordError("record length does not match the index")
    if record[-4:] != masked_crc(payload):
        raise RecordError("damaged record: its checksum is wrong")
    return payload


def read_records(path: str) -> Iterator[tuple[int, bytes]]:
    """Yields (offset, payload) of each record; raises RecordError at the first damage."""
    with storage.open_read(path) as file:
        yield from scan_records(file)


def scan_records(file: BufferedIOBase) -> Iterator[tuple[int, bytes]]:
    """read_records of a file that is open; it is read from its start."""
    size = file.seek(0, os.SEEK_END)
    offset = file.seek(0)
    while offset < size:
        header = file.read(_HEADER_BYTES)
        if len(header) < _HEADER_BYTES or header[8:] != masked_crc(header[:8]):
            raise RecordError(f"damaged record header at byte {offset}")
        length = struct.unpack("<Q", header[:8])[0]
        if offset + length + FRAME_BYTES > size:
            raise RecordError(f"the file ends inside the record at byte {offset}")
        rest = file.read(length + 4)
        try:
            yield offset, unframe(header + rest)
        except RecordError as error:
            raise RecordError(f"{error} (record at byte {offset})") from None
        offset += length + FRAME_BYTES


class RecordWriter:
    """Writes one TFRecord file out of sight and publishes it when it is whole.

    As a context manager: left without an error, the file appears under `path`; left with one,
    nothing of it remains. No half file is ever seen under `path`.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.entries: list[IndexEntry] = []
        self.bytes = 0
        self._sha256 = hashlib.sha256()
        self._pending = storage.create(path)

    def write(self, key: int, payload: bytes) -> None:
        """Appends a record; `key` goes to the index."""
        record = frame(payload)
        self._pending.file.write(record)
        self._sha256.update(record)
        self.entries.append(IndexEntry(key, self.bytes, len(record)))
        self.bytes += len(record)

    @property
    def sha256(self) -> str:
        """Hex digest of all that was written so far."""
        return self._sha256.hexdigest()

    def __enter__(self) -> RecordWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._pending.publish()
        finally:
            self._pending.discard()


def encode_example(features: Mapping[str, Feature]) -> bytes:
    """A serialised tf.train.Example. Bytes, an int, a list of ints or a list of floats
    (stored as float32) a feature. The same features give the same bytes.
    """
    example = Example()
    for name, value in features.items():
        feature = example.features.feature[name]
        if isinstance(value, bytes):
            feature.bytes_list.value.append(value)
        elif isinstance(value, int):
            feature.int64_list.value.append(value)
        elif value and isinstance(value[0], float):
            feature.float_list.value.extend(value)
        else:
            feature.int64_list.value.extend(value)
    serialised: bytes = example.SerializeToString(deterministic=True)
    return serialised


def decode_example(payload: bytes) -> dict[str, Feature]:
    """The inverse of encode_example; raises RecordError if the payload is none.

    A one-element list of ints comes back as an int.
    """
    example = Example()
    try:
        example.ParseFromString(payload)
    except DecodeError as error:
        raise RecordError(f"the record is not a tf.train.Example: {error}") from None
    features: dict[str, Feature] = {}
    for name, feature in example.features.feature.items():
        kind = feature.WhichOneof("kind")
        values = list(getattr(feature, kind).value) if kind else []
        if len(values) == 1 and kind != "float_list":
            features[name] = values[0]
        else:
            features[name] = values
    return features
