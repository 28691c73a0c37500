"""A dataset at an address: the same batches, in few reads; words where it does not answer.

`ram://`, a file system of TensorFlow's own without a directory on any disk, stands in for gs://.
"""

import os
import threading
import time
from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from preprocess.dataset_format import Manifest
from preprocess.shell.errors import DataError, StorageError
from tests.trainer import datasets
from trainer.data import storage
from trainer.data.dataset import load_manifest
from trainer.data.order import ReplicaSlice
from trainer.data.reader import open_reader
from trainer.training.evaluation import read_error


def to_ram(data, name):
    """Copies a directory to ram://NAME."""
    for folder, _, files in os.walk(data):
        place = f"ram://{name}{folder.removeprefix(str(data))}"
        tf.io.gfile.makedirs(place)
        for file in files:
            tf.io.gfile.copy(os.path.join(folder, file), f"{place}/{file}", overwrite=True)
    return f"ram://{name}"


@pytest.fixture(scope="module")
def class_address(class_data):
    return to_ram(class_data, "classes")


@pytest.fixture(scope="module")
def triplet_address(triplet_data):
    return to_ram(triplet_data, "triplets")


@pytest.fixture
def reads(monkeypatch):
    """Counts the reads of each file: {path: times}."""
    found = Counter()
    for name in ("read_bytes", "read_range"):
        real = getattr(storage, name)

        def counted(path, *rest, real=real):
            found[path] += 1
            return real(path, *rest)

        monkeypatch.setattr(storage, name, counted)
    return found


def reader_of(data, base=datasets.CLASSIFICATION, **changes):
    config = datasets.configuration(base, **changes)
    return open_reader(data, load_manifest(data), "train", config, training=True)


def batches(reader, steps, first=0):
    found = reader.dataset(first, ReplicaSlice(), steps)
    return [{key: value.numpy() for key, value in batch.items()} for batch in found]


def assert_same(left, right):
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        for key in one:
            np.testing.assert_array_equal(one[key], other[key])


@pytest.mark.parametrize("first", [0, 2])
def test_pictures_from_an_address_are_those_of_the_directory(class_data, class_address, first):
    """Ten steps of 3 a pass: through four passes and all variants."""
    expected = batches(reader_of(class_data), 10, first)
    assert_same(expected, batches(reader_of(class_address), 10, first))


def test_triplets_from_an_address_are_those_of_the_directory(triplet_data, triplet_address):
    expected = batches(reader_of(triplet_data, datasets.TRIPLET), 9)
    assert_same(expected, batches(reader_of(triplet_address, datasets.TRIPLET), 9))


def test_a_shard_is_read_once_a_pass_however_its_records_are_mixed(
    class_data, class_address, reads
):
    """One pass over 3 shards with variant 0 only, all in one group: each is fetched once, with
    its index, and not once a record (21).
    """
    reader = reader_of(class_address, data__variants=1)
    reads.clear()
    batches(reader, reader.steps_per_pass)
    shards = Manifest.load(class_data).split("train").image_shards(0)
    for shard in shards:
        assert reads[f"{class_address}/{shard.file}"] == 1
    assert sum(reads.values()) == 2 * len(shards)


def test_single_pictures_are_read_by_their_range_and_not_with_their_shard(class_address, reads):
    reader = reader_of(class_address)
    reads.clear()
    assert len(reader.pictures([3])) == 1
    assert sorted(path.rpartition(".")[2] for path in reads) == ["index", "tfrecord"]
    assert max(reads.values()) == 1
    assert reader._stored._ahead.fetched == 0


def test_only_shards_of_the_groups_around_are_held(tmp_path):
    """Noise that fills more than a megabyte a shard, so each is a group of its own."""
    rng = np.random.default_rng(0)
    for number in range(8):
        for name in datasets.CLASSES:
            path = tmp_path / "pictures" / "train" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 255, (500, 500, 3), np.uint8)).save(path)
    source = f"--images={tmp_path / 'pictures'}"
    data = datasets.build(tmp_path / "large", "--source=folders", source, "--shards=8")
    config = {"data__shuffle_megabytes": 1, "data__validation_splits": ()}
    reader = reader_of(to_ram(data, "large"), batch_size=2, **config)
    held = []
    for _ in reader.dataset(0, ReplicaSlice(), 2 * reader.steps_per_pass):
        held.append(sum(each.done() for each in list(reader._stored._ahead._held.values())))
    # Around a group: the one before, itself, the next. Others may be on their way, and are dropped.
    assert 2 <= max(held) <= 3
    assert reader._stored._ahead.fetched >= 15


@pytest.mark.slow
def test_a_training_reads_from_an_address(class_address, tmp_path, train_here):
    config = datasets.configuration(datasets.CLASSIFICATION)
    report = train_here(config, class_address, tmp_path / "run")
    assert report["steps"] == 6
    text = (tmp_path / "run" / "config.json").read_text(encoding="utf-8")
    assert f'"path": "{class_address}"' in text


def test_a_damaged_shard_at_an_address_is_named(class_data, tmp_path):
    from tests.trainer.data.test_picture_reader import damaged

    copy, file = damaged(class_data, tmp_path, "flipped")
    reader = reader_of(to_ram(copy, "damaged"), data__variants=1)
    with pytest.raises(tf.errors.OpError) as caught:
        batches(reader, 3)
    error = read_error(reader, caught.value)
    assert isinstance(error, DataError) and file in str(error)


def test_an_address_without_a_dataset_says_what_is_missing():
    with pytest.raises(DataError, match=r"ram://nowhere/dataset\.json': no such file"):
        storage.read_manifest("ram://nowhere")


def test_a_bucket_that_cannot_be_reached_is_said_within_the_limit_of_the_probe(monkeypatch):
    asked = []

    def probe(url, seconds):
        asked.append((url, seconds))
        return "no route to host"

    monkeypatch.setattr(storage, "probe", probe)
    with pytest.raises(StorageError, match=r"no route to host.*preprocess fetch"):
        storage.read_manifest("gs://bucket/set/")
    url = "https://storage.googleapis.com/bucket/set/dataset.json"
    assert asked == [(url, storage.PROBE_SECONDS)]


def test_a_storage_that_hangs_is_said_within_the_limit(monkeypatch):
    """As TensorFlow does where credentials are asked for from a server that does not answer."""
    ended = threading.Event()
    monkeypatch.setattr(storage, "probe", lambda url, seconds: None)
    monkeypatch.setattr(storage, "read_bytes", lambda path: ended.wait(600))
    monkeypatch.setattr(storage, "FIRST_READ_SECONDS", 0.2)
    started = time.monotonic()
    with pytest.raises(StorageError, match="GOOGLE_APPLICATION_CREDENTIALS"):
        storage.read_manifest("gs://bucket/set")
    assert time.monotonic() - started < 60
    ended.set()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (tf.errors.UnavailableError(None, None, "busy"), StorageError),
        (tf.errors.PermissionDeniedError(None, None, "not yours"), DataError),
        (tf.errors.NotFoundError(None, None, ""), DataError),
    ],
)
def test_what_another_try_may_mend_asks_for_one(error, kind):
    assert isinstance(storage.problem("gs://b/f", error), kind)
