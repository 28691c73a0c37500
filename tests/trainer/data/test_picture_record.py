"""Records without TensorFlow: parsed, checked and sized as TensorFlow does."""

import struct

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocess.dataset_format import ImageKey, TripletKey
from preprocess.shell.errors import DataError
from trainer.data.area_resize import stretch
from trainer.data.decoding import FEATURES, parse_one
from trainer.data.decoding import stretch as by_tensorflow
from trainer.data.picture_record import BadRecordError, parse_picture, parse_triplet
from trainer.data.records import scanned
from trainer.data.triplets import TRIPLET_FEATURES

INT64 = st.integers(-(2**63), 2**63 - 1)
FEATURE = st.one_of(
    st.lists(INT64, max_size=4).map(lambda v: tf.train.Feature(int64_list={"value": v})),
    st.lists(st.binary(max_size=9), max_size=2).map(
        lambda v: tf.train.Feature(bytes_list={"value": v})
    ),
    st.lists(st.floats(width=32, allow_nan=False), max_size=4).map(
        lambda v: tf.train.Feature(float_list={"value": v})
    ),
    st.just(tf.train.Feature()),
)


def serialised(features):
    return tf.train.Example(features={"feature": features}).SerializeToString(deterministic=True)


def one(value):
    if isinstance(value, bytes):
        return tf.train.Feature(bytes_list={"value": [value]})
    return tf.train.Feature(int64_list={"value": [value]})


WHOLE = {name: one(7) for name in FEATURES} | {ImageKey.ENCODED: one(b"pixels")}


def of_tensorflow(payload):
    try:
        return {name: values.numpy() for name, values in parse_one(payload).items()}
    # Its message holds the record, which Python may not be able to decode.
    except (tf.errors.InvalidArgumentError, UnicodeDecodeError):
        return None


def of_ours(payload):
    try:
        record = parse_picture(payload)
    except BadRecordError:
        return None
    return {
        ImageKey.ENCODED: record.encoded,
        ImageKey.KEY: record.key,
        ImageKey.LABEL: record.label,
        ImageKey.HEIGHT: record.height,
        ImageKey.WIDTH: record.width,
        ImageKey.CHANNELS: record.channels,
    }


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(list(FEATURES)), FEATURE), st.booleans())
def test_a_picture_has_the_features_that_tensorflow_finds_or_is_refused_by_both(features, whole):
    payload = serialised({**WHOLE, **features} if whole else features)
    assert of_ours(payload) == of_tensorflow(payload)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(serialised(WHOLE)) - 1), st.integers(0, 255))
def test_a_changed_byte_never_gives_another_record_than_tensorflow_takes(place, byte):
    """Names in records are ASCII here; TensorFlow takes others, which no dataset has. Of a label
    whose entry is mangled ours says that there is none where TensorFlow refuses the record: that
    one was not written by a build, and a damaged one fails its checksum.
    """
    payload = bytearray(serialised(WHOLE))
    payload[place] = byte
    ours = of_ours(bytes(payload))
    theirs = of_tensorflow(bytes(payload))
    assert None in (ours, theirs) or ours == theirs


@settings(max_examples=60, deadline=None)
@given(st.lists(INT64, min_size=2, max_size=4), st.lists(st.floats(0, 1, width=32), max_size=4))
def test_a_triplet_has_three_pictures_and_three_votes_or_is_refused_by_both(images, votes):
    features = {
        TripletKey.IMAGES: tf.train.Feature(int64_list={"value": images}),
        TripletKey.VOTES: tf.train.Feature(float_list={"value": votes}),
        TripletKey.TYPE: one(b"ONE_CLASS_TRIPLET"),
        TripletKey.ROW: one(2),
    }
    payload = serialised(features)
    try:
        found = tf.io.parse_single_example(payload, TRIPLET_FEATURES)
    except tf.errors.InvalidArgumentError:
        with pytest.raises(BadRecordError, match="triplet/"):
            parse_triplet(payload)
        return
    record = parse_triplet(payload)
    np.testing.assert_array_equal(record.images, found[TripletKey.IMAGES])
    np.testing.assert_array_equal(np.float32(record.votes), found[TripletKey.VOTES])
    assert (record.kind, record.row) == (b"ONE_CLASS_TRIPLET", 2)


@pytest.fixture(scope="module")
def shard(tmp_path_factory):
    return tmp_path_factory.mktemp("scanned") / "a.tfrecord"


@settings(max_examples=40, deadline=None)
@given(st.lists(st.binary(max_size=40), min_size=1, max_size=4), st.data())
def test_a_shard_is_scanned_as_it_was_written_and_any_changed_byte_is_found(shard, payloads, data):
    with tf.io.TFRecordWriter(str(shard)) as writer:
        for payload in payloads:
            writer.write(payload)
    found = list(scanned(str(shard)))
    assert [payload for _, payload in found] == payloads
    assert [offset for offset, _ in found] == np.cumsum(
        [0, *(16 + len(p) for p in payloads[:-1])]
    ).tolist()
    content = bytearray(shard.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    shard.write_bytes(content)
    at = max(offset for offset, _ in found if offset <= place)
    with pytest.raises(DataError, match=rf"damaged at byte {at};"):
        list(scanned(str(shard)))


@pytest.mark.parametrize("cut", [1, 12, 17])
def test_a_shard_that_ends_inside_a_record_is_damaged_there(shard, cut):
    """A header of 12 bytes, 5 of the payload, 4 of its checksum."""
    with tf.io.TFRecordWriter(str(shard)) as writer:
        writer.write(b"first")
        writer.write(b"other")
    assert struct.unpack("<Q", shard.read_bytes()[21:29]) == (5,)
    shard.write_bytes(shard.read_bytes()[: 21 + cut])
    with pytest.raises(DataError, match="at byte 21;"):
        list(scanned(str(shard)))


@settings(max_examples=120, deadline=None)
@given(
    st.tuples(st.integers(1, 70), st.integers(1, 70), st.sampled_from([1, 3])),
    st.integers(8, 60),
    st.integers(0, 2**32 - 1),
)
def test_area_averages_are_those_of_tensorflow_to_the_bit(shape, side, seed):
    """Few levels make many means that lie half way between two."""
    pixels = np.random.default_rng(seed).integers(0, 4, shape).astype(np.uint8)
    np.testing.assert_array_equal(stretch(pixels, side), by_tensorflow(pixels, side).numpy())
