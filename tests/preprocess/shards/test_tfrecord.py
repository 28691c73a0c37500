"""Records round a file and back; every damaged byte is noticed; no half file under its name."""

from __future__ import annotations

import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess import storage
from preprocess.shards import tfrecord
from preprocess.shards.tfrecord import RecordError, RecordWriter, read_records, unframe
from preprocess.shell.checksum import frame

features = st.dictionaries(
    st.text(max_size=8).filter(lambda t: t.isprintable()),
    st.one_of(
        st.binary(max_size=40),
        st.integers(-(2**63), 2**63 - 1),
        st.lists(st.integers(-(2**63), 2**63 - 1), min_size=2, max_size=4),
        st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=4),
    ),
    max_size=5,
)


def test_an_empty_payload_is_framed_as_the_format_says():
    """CRC-32C of eight zero bytes is 0x8C28B28A, of nothing 0. Masked, as record_writer.h has it,
    is rotate right 15, plus 0xA282EAD8: 0x8C28B28A >> 15 = 0x11851, << 17 (32 bits) = 0x65140000,
    together 0x65151851, plus the constant 0x07980329 (mod 2^32); and 0xA282EAD8.
    """
    assert frame(b"") == bytes(8) + bytes.fromhex("29039807") + bytes.fromhex("d8ea82a2")


@given(st.binary(max_size=100))
def test_a_framed_payload_comes_back(payload):
    assert unframe(frame(payload)) == payload
    assert len(frame(payload)) == len(payload) + tfrecord.FRAME_BYTES


@given(st.binary(max_size=60), st.data())
def test_any_flipped_bit_is_noticed(payload, data):
    record = bytearray(frame(payload))
    bit = data.draw(st.integers(0, 8 * len(record) - 1))
    record[bit // 8] ^= 1 << bit % 8
    with pytest.raises(RecordError):
        unframe(bytes(record))


@given(features)
def test_an_example_reads_back(example):
    decoded = tfrecord.decode_example(tfrecord.encode_example(example))
    assert decoded == example


@given(features)
def test_the_order_in_which_features_are_given_does_not_change_the_bytes(example):
    turned = dict(reversed(example.items()))
    assert tfrecord.encode_example(example) == tfrecord.encode_example(turned)


def test_what_is_no_example_is_refused():
    with pytest.raises(RecordError, match=r"not a tf.train.Example"):
        tfrecord.decode_example(b"\xff\xff\xff")


def write(path, payloads):
    with RecordWriter(str(path)) as writer:
        for number, payload in enumerate(payloads):
            writer.write(number, payload)
    return writer


def test_a_written_file_reads_back_with_its_index(tmp_path):
    path = tmp_path / "sub" / "a.tfrecord"
    writer = write(path, [b"one", b"", b"three"])
    assert list(read_records(str(path))) == [(0, b"one"), (19, b""), (35, b"three")]
    assert [tuple(entry) for entry in writer.entries] == [(0, 0, 19), (1, 19, 16), (2, 35, 21)]
    assert writer.bytes == path.stat().st_size == 56


def test_the_hash_is_that_of_the_file(tmp_path):
    import hashlib

    writer = write(tmp_path / "a", [b"x" * 1000])
    assert writer.sha256 == hashlib.sha256((tmp_path / "a").read_bytes()).hexdigest()


@pytest.mark.parametrize("cut", [1, 11, 12, 20, 34])
def test_a_cut_file_says_where(tmp_path, cut):
    write(tmp_path / "a", [b"one", b"two"])
    whole = (tmp_path / "a").read_bytes()
    (tmp_path / "a").write_bytes(whole[:cut])
    with pytest.raises(RecordError, match=r"at byte (0|19)"):
        list(read_records(str(tmp_path / "a")))


def test_until_it_is_whole_nothing_is_there_under_its_name(tmp_path):
    path = tmp_path / "a.tfrecord"
    with RecordWriter(str(path)) as writer:
        writer.write(1, b"x")
        assert not path.exists()
    assert [p.name for p in tmp_path.iterdir()] == ["a.tfrecord"]


def fail_half_way(path):
    with RecordWriter(str(path)) as writer:
        writer.write(1, b"new")
        raise RuntimeError


def test_after_an_error_what_was_there_before_is_there_and_nothing_else(tmp_path):
    path = tmp_path / "a.tfrecord"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError):
        fail_half_way(path)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.tfrecord"]


def test_a_disk_that_is_full_at_the_last_byte_leaves_nothing(tmp_path, monkeypatch):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path / "a", [b"x"])
    with pytest.raises(OSError, match="No space left"):
        storage.write_text(str(tmp_path / "b"), "x")
    assert list(tmp_path.iterdir()) == []


def test_text_replaces_text(tmp_path):
    for text in ("one\n", "два\n"):
        storage.write_text(str(tmp_path / "sub" / "a"), text)
    assert (tmp_path / "sub" / "a").read_bytes() == "два\n".encode()
    assert len(list((tmp_path / "sub").iterdir())) == 1
