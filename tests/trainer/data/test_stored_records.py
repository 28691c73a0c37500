"""TensorFlow reads what preprocess writes: file framing, checksums, keys and dtypes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from preprocess import dataset_format as df
from tests.preprocess import made


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A triplet set and a set of classes."""
    folder = tmp_path_factory.mktemp("stored")
    faces = made.triplet_set(folder / "faces", train=12, test=4)
    made.built("fec", folder / "triplet", **faces, variants=2, encoding="png")
    images = made.class_folders(folder / "classes", count=3)
    made.built("folders", folder / "classification", images=images, variants=2)
    return {task: folder / task for task in ("triplet", "classification")}


def parsed(dataset: Path, shards: list[df.Shard], features: dict) -> list[dict]:
    files = [str(dataset / shard.file) for shard in shards]
    records = tf.data.TFRecordDataset(files).map(lambda r: tf.io.parse_single_example(r, features))
    return list(records.as_numpy_iterator())


@pytest.mark.parametrize("task", ["triplet", "classification"])
@pytest.mark.parametrize("variant", [0, 1])
def test_image_records_parse_and_decode(datasets, task, variant):
    one = tf.io.FixedLenFeature([], tf.int64)
    text = tf.io.FixedLenFeature([], tf.string)
    names = ("KEY", "VARIANT", "HEIGHT", "WIDTH", "CHANNELS")
    features = {getattr(df.ImageKey, name): one for name in names}
    features |= {getattr(df.ImageKey, name): text for name in ("ENCODED", "FORMAT", "ID")}
    if task == "classification":
        features[df.ImageKey.LABEL] = one
    dataset = datasets[task]
    split = made.manifest(dataset).splits["train"]
    records = parsed(dataset, split.image_shards(variant), features)
    assert len(records) == split.images > 0
    ours = made.image_records(dataset, "train", variant)
    for record, expected in zip(records, ours, strict=True):
        assert record == expected
        image = tf.io.decode_image(record["image/encoded"]).numpy()
        assert image.shape == (20, 24, 3)
        assert record["image/variant"] == variant


def test_triplet_records_parse(datasets):
    features = {
        df.TripletKey.IMAGES: tf.io.FixedLenFeature([3], tf.int64),
        df.TripletKey.VOTES: tf.io.FixedLenFeature([3], tf.float32),
        df.TripletKey.TYPE: tf.io.FixedLenFeature([], tf.string),
        df.TripletKey.ROW: tf.io.FixedLenFeature([], tf.int64),
    }
    dataset = datasets["triplet"]
    split = made.manifest(dataset).splits["train"]
    records = parsed(dataset, split.triplet_shards(), features)
    assert [r["triplet/row"] for r in records] == list(range(2, 12))
    keys = {record["image/key"] for record in made.image_records(dataset, "train")}
    for record in records:
        assert set(record["triplet/images"]) <= keys
        np.testing.assert_allclose(record["triplet/votes"].sum(), 1, rtol=1e-6)
        assert record["triplet/type"] == b"ONE_CLASS"


def test_tensorflow_too_notices_a_flipped_byte(datasets, tmp_path):
    dataset = datasets["triplet"]
    shard = made.manifest(dataset).splits["train"].triplet_shards()[0]
    content = bytearray((dataset / shard.file).read_bytes())
    content[40] ^= 1
    (tmp_path / "a.tfrecord").write_bytes(content)
    with pytest.raises(tf.errors.DataLossError):
        list(tf.data.TFRecordDataset(str(tmp_path / "a.tfrecord")))
