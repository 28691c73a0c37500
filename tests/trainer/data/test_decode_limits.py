"""Pictures of records and of an exported model's callers: the builder's limits, before decoding."""

from __future__ import annotations

import io
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from preprocess.dataset_format import ImageFormat, ImageKey
from preprocess.pictures import jpeg
from preprocess.pictures.decode import decode as decode_for_build
from preprocess.pictures.limits import MAX_PIXELS, MAX_SCANNED_PIXELS, MAX_SCANS
from preprocess.pictures.refusal import PictureReason, Refused
from preprocess.shell.checksum import masked_crc
from preprocess.shell.errors import DataError
from trainer.data import records as records_module
from trainer.data.dataset import load_manifest
from trainer.data.decode_limits import TOO_LARGE, within_limits
from trainer.data.decoding import Decoder, decode_file
from trainer.data.record_limits import check_record
from trainer.data.records import StoredPictures
from trainer.data.table import PictureTable
from trainer.training.evaluation import read_error

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 20, 3)).astype(np.uint8)


def encoded(kind="JPEG", mode="RGB", **options):
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def claiming(data, height, width):
    """A JPEG or PNG whose header has another size."""
    if data.startswith(b"\x89PNG"):
        header = b"IHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + data[24:29]
        return data[:12] + header + zlib.crc32(header).to_bytes(4, "big") + data[33:]
    (frame,) = (s for s in jpeg.segments(data) if s.marker in (0xC0, 0xC2))
    size = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return data[: frame.body + 1] + size + data[frame.body + 5 :]


def with_scans(data, count):
    """A progressive JPEG in which the last scan is there again and again."""
    found = list(jpeg.segments(data))
    scans = [s for s in found if s.marker == 0xDA]
    first, end = scans[-1].start, found[-1].start
    more = count - len(scans)
    return data[:end] + more * data[first:end] + data[end:]


def limited(data):
    return tf.function(within_limits)(tf.constant(data)).numpy()


# Of so many pixels, 500 scans are within the limit of pixels that are gone over.
SIDE = int((MAX_SCANNED_PIXELS // 500) ** 0.5)
BOMBS = {
    "a JPEG of too many pixels": claiming(encoded(), MAX_PIXELS // 8000 + 1, 8000),
    "a progressive one": claiming(encoded(progressive=True), 65_000, 65_000),
    "a PNG of too many pixels": claiming(encoded("PNG"), 10_000, 10_000),
    "a PNG whose size is no number": claiming(encoded("PNG"), 2**31 - 1, 2**31 - 1),
    "too many scans": with_scans(encoded(progressive=True), MAX_SCANS + 1),
    "scans over too many pixels": with_scans(
        claiming(encoded(progressive=True), SIDE + 1, SIDE + 1), 501
    ),
}
WHOLE = {
    "a JPEG": encoded(),
    "a progressive one": encoded(progressive=True),
    "a grey one": encoded(mode="L"),
    "one with a thumbnail": encoded(exif=b"Exif\0\0" + encoded()),
    "as many scans as there may be": with_scans(encoded(progressive=True), MAX_SCANS),
    "a PNG": encoded("PNG"),
    "a grey PNG": encoded("PNG", "L"),
    "a PNG with scans in its pixels": encoded("PNG") + 2000 * b"\xff\xda",
}


@pytest.mark.parametrize("what", BOMBS)
def test_what_the_build_refuses_for_its_size_is_not_decoded(what):
    with pytest.raises(Refused) as refused:
        decode_for_build(BOMBS[what])
    assert refused.value.reason == PictureReason.TOO_LARGE
    for function in (limited, lambda data: decode_file(tf.constant(data), 3)):
        with pytest.raises(tf.errors.InvalidArgumentError, match=TOO_LARGE):
            function(BOMBS[what])


@pytest.mark.parametrize("what", WHOLE)
def test_whole_pictures_pass_as_they_are(what):
    assert limited(WHOLE[what]) == WHOLE[what]


def apart(data):
    """A JPEG whose first scan has one of its components."""
    (scan,) = (s for s in jpeg.segments(data) if s.marker == 0xDA)
    header = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00"
    return data[: scan.start] + header + data[scan.end :]


def test_of_a_sequential_jpeg_with_all_components_in_its_first_scan_the_header_is_enough():
    for what in ("a JPEG", "a grey one", "one with a thumbnail"):
        assert jpeg.size_of_one_scan(WHOLE[what]) == jpeg.size(WHOLE[what]) == (20, 24)
    whole = WHOLE["a JPEG"]
    (frame,) = (s for s in jpeg.segments(whole) if s.marker == 0xC0)
    twice = whole[: frame.end] + whole[frame.start : frame.end] + whole[frame.end :]
    filled = whole[: frame.start] + b"\xff" + whole[frame.start :]
    for other in (WHOLE["a progressive one"], apart(whole), twice, filled, whole[:30], b""):
        assert jpeg.size_of_one_scan(other) is None


def test_whatever_byte_of_a_jpeg_is_changed_its_quick_size_is_that_of_its_first_frame():
    rng = np.random.default_rng(0)
    for what in ("a JPEG", "a progressive one", "one with a thumbnail"):
        for _ in range(2000):
            data = bytearray(WHOLE[what])
            for place in rng.integers(0, len(data), 3):
                data[place] = rng.choice([0, 2, 0xC0, 0xC1, 0xDA, 0xFF, rng.integers(256)])
            quick = jpeg.size_of_one_scan(bytes(data))
            assert quick is None or quick == jpeg.size(bytes(data))


@pytest.mark.parametrize("what", BOMBS)
def test_an_encoded_table_is_looked_at_when_it_is_built(what):
    """And not for each batch, which has every picture again."""
    image = ImageFormat("jpeg", 95, 0, "", height=24, width=20, channels=3)
    table = PictureTable.__new__(PictureTable)
    table.kind, table.decoder, table.pictures = "encoded", Decoder(image, 3), 1
    table.each = lambda records, function: records.map(function)
    for content, function in ((BOMBS[what], None), (WHOLE["a JPEG"], within_limits)):
        features = {
            ImageKey.ENCODED: tf.train.Feature(bytes_list={"value": [content]}),
            **{
                key: tf.train.Feature(int64_list={"value": [value]})
                for key, value in zip(
                    (ImageKey.KEY, ImageKey.HEIGHT, ImageKey.WIDTH, ImageKey.CHANNELS),
                    (1, 24, 20, 3),
                    strict=True,
                )
            },
        }
        payload = tf.train.Example(features={"feature": features}).SerializeToString()
        table.records = lambda _, payload=payload: tf.data.Dataset.from_tensors(payload)
        if function is None:
            with pytest.raises(tf.errors.InvalidArgumentError, match=TOO_LARGE):
                table.build(tf.constant(0, tf.int64))
        else:
            _, rows = table.build(tf.constant(0, tf.int64))
            assert table.pixels(rows).shape == (1, 24, 20, 3)


def test_the_largest_picture_passes():
    """8000 x 8000 by its header: what is not decoded here costs nothing."""
    largest = claiming(encoded(), MAX_PIXELS // 8000, 8000)
    assert limited(largest) == largest
    most = with_scans(claiming(encoded(progressive=True), SIDE, SIDE), 500)
    assert limited(most) == most


@pytest.mark.parametrize("kind", ["GIF", "BMP", "WEBP"])
def test_what_no_record_holds_is_not_decoded(kind):
    with pytest.raises(Refused, match="neither a JPEG nor a PNG"):
        check_record(record(encoded(kind)))
    with pytest.raises(tf.errors.InvalidArgumentError, match=TOO_LARGE):
        limited(encoded(kind))


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"x" * 9])
def test_bytes_that_end_early_are_an_error_and_no_more(data):
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode_file(tf.constant(data), 3)


def record(data):
    feature = tf.train.Feature(bytes_list={"value": [data]})
    return tf.train.Example(features={"feature": {ImageKey.ENCODED: feature}}).SerializeToString()


@pytest.mark.parametrize("what", BOMBS)
def test_a_record_of_a_bomb_is_refused_where_it_is_read(what):
    with pytest.raises(Refused) as refused:
        check_record(record(BOMBS[what]))
    assert refused.value.reason == PictureReason.TOO_LARGE


@pytest.mark.parametrize("what", WHOLE)
def test_a_record_of_a_whole_picture_is_not(what):
    check_record(record(WHOLE[what]))


def test_what_is_no_record_is_left_to_who_parses_it():
    for payload in (b"", b"nonsense", record(b"")[:5]):
        check_record(payload)


def test_a_stored_bomb_is_named_with_its_place_and_others_are_read(class_data):
    """As a dataset from elsewhere may have it: every checksum is right."""
    manifest = load_manifest(class_data)
    shards = [manifest.split("train").image_shards()]
    stored = StoredPictures(class_data, shards, encoded=True)
    bomb = record(BOMBS["too many scans"])
    records = stored._open(0, 0)
    offset = int(records.index[1, 1])
    files = records._bytes

    class Changed:
        def __getitem__(self, part):
            changed = part.start == offset + 12
            return bomb + masked_crc(bomb) if changed else files[part]

    records._bytes = Changed()
    with pytest.raises(
        DataError, match=rf"picture at byte {offset} that exceeds the limits.*scans"
    ):
        stored.payload(0, 0, 1)
    assert stored.payload(0, 0, 0)


def test_each_record_is_looked_at_once(class_data, monkeypatch):
    seen = []
    monkeypatch.setattr(records_module, "check_record", seen.append)
    shards = [load_manifest(class_data).split("train").image_shards()]
    stored = StoredPictures(class_data, shards, encoded=True)
    for _ in range(3):
        stored.payload(0, 0, 0)
    assert len(seen) == 1
    StoredPictures(class_data, shards, encoded=False).payload(0, 0, 0)
    assert len(seen) == 1


def test_in_a_graph_a_bomb_ends_a_run_in_a_line():
    """Of a table, whose records do not pass through Python."""
    features = {
        ImageKey.ENCODED: tf.constant([encoded(), BOMBS["a progressive one"]]),
        **{key: tf.constant([1, 1], tf.int64) for key in (ImageKey.HEIGHT, ImageKey.WIDTH)},
    }
    image = ImageFormat("jpeg", 95, 0, "", height=24, width=20, channels=3)
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        tf.function(Decoder(image, 3).batch)(features)

    class Reader:
        error, batch_size, directory = None, 8, "/data/of/others"

    found = read_error(Reader(), caught.value)
    assert isinstance(found, DataError)
    assert "a picture of '/data/of/others'" in str(found)
    assert "\n" not in str(found)
