"""Checkpoints of strangers: an index that claims what is not there is refused before TensorFlow,
which it would end without an error, reads it.
"""

from __future__ import annotations

import os
import struct

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import tensor_bundle_pb2

from preprocess.shell.checksum import masked_crc
from preprocess.shell.errors import ConfigError, DataError
from tests.trainer.models.test_models import MLP, built, configured
from trainer.models.foreign_checkpoints import _entries, check_checkpoint
from trainer.training.checkpoints import LAST, Checkpoints
from trainer.training.session import Session

GRAPH = b"_CHECKPOINTABLE_OBJECT_GRAPH"


def varint(number):
    low = number & 0x7F
    return bytes([low]) if number < 128 else bytes([low | 0x80]) + varint(number >> 7)


def block(items):
    entries = [varint(0) + varint(len(k)) + varint(len(v)) + k + v for k, v in items]
    starts = [sum(map(len, entries[:n])) for n in range(max(len(entries), 1))]
    return b"".join(entries) + struct.pack(f"<{len(starts) + 1}I", *starts, len(starts))


def table(items):
    """A table of LevelDB's format with one block."""
    data = b""

    def put(content):
        nonlocal data
        place = varint(len(data)) + varint(len(content))
        data += content + b"\0" + masked_crc(content + b"\0")
        return place

    found = put(block(items))
    footer = put(block([])) + put(block([(items[-1][0] + b"\xff", found)]))
    return data + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)


@pytest.fixture
def saved(tmp_path):
    """(session, checkpoints, prefix) of a state."""
    model = built(configured(**MLP), 5)
    session = Session(configured(**MLP), tf.distribute.get_strategy(), None, model, None)
    (tmp_path / "run").mkdir()
    checkpoints = Checkpoints(tmp_path / "run" / "checkpoints")
    checkpoints.save(LAST, session, {"step": 1, "epochs": 1})
    (state,) = checkpoints.states(LAST)
    return session, checkpoints, state / "state"


def spoil(prefix, change, graph=False):
    """Changes the entry of a weight, or of the object graph."""
    index = prefix.with_suffix(".index")
    items = []
    for key, value in _entries(index.read_bytes()):
        if key == GRAPH if graph else b"kernel" in key:
            entry = tensor_bundle_pb2.BundleEntryProto.FromString(value)
            change(entry)
            value = entry.SerializeToString()
        items.append((key, value))
    index.write_bytes(table(items))


def test_what_tensorflow_wrote_is_read_also_when_it_is_written_anew(saved):
    session, checkpoints, prefix = saved
    check_checkpoint(str(prefix))
    spoil(prefix, lambda entry: None)
    assert checkpoints.load_weights(LAST, session)["step"] == 1


def test_a_name_like_a_pattern_is_a_name(tmp_path):
    prefix = str(tmp_path / "a[1]*")
    tf.train.Checkpoint(a=tf.Variable([1.0, 2.0]), b=tf.Variable("text")).write(prefix)
    check_checkpoint(prefix)
    os.rename(f"{prefix}.data-00000-of-00001", tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="0 files of data, of 1"):
        check_checkpoint(prefix)


def sized(size):
    def change(entry):
        entry.shape.dim[0].size = size

    return change


def many(entry):
    for _ in range(300):
        entry.shape.dim.add().size = 1


def unknown(entry):
    entry.shape.Clear()
    entry.shape.unknown_rank = True


def partly(entry):
    entry.slices.add().extent.add().start = -5


def field(name, value):
    return lambda entry: setattr(entry, name, value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (sized(-5), "a shape that is none"),
        (sized(2**62), "bytes for the shape"),
        (sized(10**9), "bytes for the shape"),
        (sized(0), "bytes for the shape"),
        (many, "a shape that is none"),
        (unknown, "a shape that is none"),
        (partly, "not read"),
        (field("dtype", 9999), "no index of a checkpoint"),
        (field("dtype", tf.variant.as_datatype_enum), "variant, which is not read"),
        (field("dtype", tf.resource.as_datatype_enum), "resource, which is not read"),
        (field("offset", -1), "outside of its file"),
        (field("offset", 2**62), "outside of its file"),
        (field("size", -1), "bytes for the shape"),
        (field("shard_id", 77), "no file"),
        (field("shard_id", -1), "no file"),
    ],
)
def test_a_tensor_that_is_not_there_is_refused_in_a_line(saved, change, reason):
    session, checkpoints, prefix = saved
    spoil(prefix, change)
    with pytest.raises(DataError, match=f"cannot be restored: .*{reason}"):
        checkpoints.load_weights(LAST, session)
    with pytest.raises(ConfigError, match="does not fit this backbone"):
        built(configured(**{**MLP, "weights": str(prefix)}), 5)


@pytest.mark.parametrize("change", [sized(-1), sized(2**33), field("size", 2**40)])
def test_nor_is_an_object_graph(saved, change):
    session, checkpoints, prefix = saved

    def of_graph(entry):
        if not entry.shape.dim:
            entry.shape.dim.add()
        change(entry)

    spoil(prefix, of_graph, graph=True)
    with pytest.raises(DataError, match="cannot be restored"):
        checkpoints.load_weights(LAST, session)


@pytest.mark.parametrize("cut", [0, 7, 47, 60, -1])
def test_an_index_that_is_none_is_refused(saved, cut):
    session, checkpoints, prefix = saved
    index = prefix.with_suffix(".index")
    index.write_bytes(index.read_bytes()[:cut])
    with pytest.raises(DataError, match="cannot be restored"):
        checkpoints.load_weights(LAST, session)


@pytest.mark.parametrize("at", range(0, 120, 7))
def test_whatever_byte_is_changed_it_is_read_or_refused(saved, at):
    _, _, prefix = saved
    index = prefix.with_suffix(".index")
    for value in (0x00, 0x7F, 0xFF):
        for place in (at, -1 - at):
            content = bytearray(index.read_bytes())
            content[place] = value
            (prefix.parent / "other.index").write_bytes(content)
            try:
                check_checkpoint(str(prefix.parent / "other"))
            except (ValueError, OSError):
                continue


def test_a_pipe_in_place_of_weights_is_not_waited_for(tmp_path):
    for name in ("a.index", "b.index", "checkpoint"):
        (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / "a.index")
    with pytest.raises(OSError, match="not a regular file"):
        check_checkpoint(str(tmp_path / "a"))
    os.mkfifo(tmp_path / "checkpoint")
    with pytest.raises(ConfigError, match="neither a run's state"):
        built(configured(**{**MLP, "weights": str(tmp_path)}), 5)
