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

import google_crc32c
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from preprocess import storage
from preprocess.dataset_format import IndexEntry

FRAME_BYTES = 16  # what framing adds to a payload
_HEADER_BYTES = 12
_MASK_DELTA = 0xA282EAD8

Feature = bytes | int | list[int] | list[float]


class RecordError(Exception):
    """A file that is not whole TFRecords; the message names the byte where it breaks."""


def _masked_crc(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF)


def frame(payload: bytes) -> bytes:
    """A payload as it stands in a TFRecord file."""
    header = struct.pack("<Q", len(payload))
    return b"".join((header, _masked_crc(header), payload, _masked_crc(payload)))


def unframe(record: bytes) -> bytes:
    """The payload of one framed record; raises RecordError where a checksum is wrong."""
    if len(record) < FRAME_BYTES or record[8:12] != _masked_crc(record[:8]):
        raise RecordError("damaged record header")
    payload = record[_HEADER_BYTES:-4]
    if struct.unpack("<Q", record[:8])[0] != len(payload):
        raise RecordError("record length does not match the index")
    if record[-4:] != _masked_crc(payload):
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
        if len(header) < _HEADER_BYTES or header[8:] != _masked_crc(header[:8]):
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


def _example_class() -> type:
    # tensorflow/core/example/{feature,example}.proto, in a pool of its own so that it does
    # not clash with TensorFlow's where both are loaded in one process.
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="shardline_example.proto", package="shardline", syntax="proto3"
    )
    for name, kind in (
        ("BytesList", field.TYPE_BYTES),
        ("FloatList", field.TYPE_FLOAT),
        ("Int64List", field.TYPE_INT64),
    ):
        values = file.message_type.add(name=name)
        values.field.add(name="value", number=1, type=kind, label=field.LABEL_REPEATED)
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, (name, kind_name) in enumerate(
        (("bytes_list", "BytesList"), ("float_list", "FloatList"), ("int64_list", "Int64List")), 1
    ):
        feature.field.add(
            name=name,
            number=number,
            type=field.TYPE_MESSAGE,
            type_name=f".shardline.{kind_name}",
            label=field.LABEL_OPTIONAL,
            oneof_index=0,
        )
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    entry.field.add(
        name="value",
        number=2,
        type=field.TYPE_MESSAGE,
        type_name=".shardline.Feature",
        label=field.LABEL_OPTIONAL,
    )
    features.field.add(
        name="feature",
        number=1,
        type=field.TYPE_MESSAGE,
        type_name=".shardline.Features.FeatureEntry",
        label=field.LABEL_REPEATED,
    )
    example = file.message_type.add(name="Example")
    example.field.add(
        name="features",
        number=1,
        type=field.TYPE_MESSAGE,
        type_name=".shardline.Features",
        label=field.LABEL_OPTIONAL,
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("shardline.Example"))


_Example = _example_class()


def encode_example(features: Mapping[str, Feature]) -> bytes:
    """A serialised tf.train.Example. Bytes, an int, a list of ints or a list of floats
    (stored as float32) a feature. The same features give the same bytes.
    """
    example = _Example()
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
    """The inverse of encode_example; raises RecordError where the payload is none.

    A one-element list of ints comes back as an int.
    """
    example = _Example()
    try:
        example.ParseFromString(payload)
    except DecodeError as error:
        raise RecordError(f"the record is no tf.train.Example: {error}") from None
    features: dict[str, Feature] = {}
    for name, feature in example.features.feature.items():
        kind = feature.WhichOneof("kind")
        values = list(getattr(feature, kind).value) if kind else []
        if len(values) == 1 and kind != "float_list":
            features[name] = values[0]
        else:
            features[name] = values
    return features
