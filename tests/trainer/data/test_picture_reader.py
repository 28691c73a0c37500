"""The classifier's reader: the right pixels and labels, for any division, from any step."""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from preprocess.dataset_format import MANIFEST_FILE, ImageKey, Manifest, index_file
from preprocess.shards import reading
from preprocess.shell.errors import ConfigError, DataError
from tests.trainer import datasets
from trainer.data import table_memory
from trainer.data.order import ReplicaSlice
from trainer.data.reader import open_reader
from trainer.training.evaluation import read_error

ONE = ReplicaSlice()


def reader_of(data, split="train", *, training=True, **changes):
    config = datasets.configuration(datasets.CLASSIFICATION, **changes)
    return open_reader(data, Manifest.load(data), split, config, training=training)


def batches(reader, first=0, part=ONE, steps=None):
    steps = steps or reader.steps_per_pass
    return [{k: v.numpy() for k, v in b.items()} for b in reader.dataset(first, part, steps)]


def stored(data, split, variant):
    """[(pixels, label)] of a variant in stored order, read without TensorFlow."""
    shards = Manifest.load(data).split(split).image_shards(variant)
    records = [r for shard in shards for r in reading.records(data, shard.file)]
    return [(reading.pixels(r), r[ImageKey.LABEL]) for r in records]


@pytest.mark.parametrize("pass_number", [0, 1, 2])
def test_each_pass_has_every_picture_in_the_variant_of_its_shard(class_data, pass_number):
    """21 pictures in 3 shards and 3 variants; pass p reads shard s from variant (p + s) mod 3."""
    reader = reader_of(class_data)
    shards = Manifest.load(class_data).split("train").image_shards(0)
    shard_of = np.repeat(np.arange(3), [shard.records for shard in shards])
    expected = [stored(class_data, "train", variant) for variant in range(3)]
    seen = []
    for batch in batches(reader, pass_number * reader.steps_per_pass):
        for row in np.flatnonzero(batch["weight"]):
            record = batch["record"][row]
            variant = (pass_number + shard_of[record]) % 3
            pixels, label = expected[variant][record]
            np.testing.assert_array_equal(batch["image"][row], pixels)
            assert batch["label"][row] == label
            seen.append(record)
    assert sorted(seen) == list(range(21))


def test_variants_1_reads_the_original_in_every_pass(class_data):
    reader = reader_of(class_data, data__variants=1)
    originals = stored(class_data, "train", 0)
    for batch in batches(reader, reader.steps_per_pass):
        for row, record in enumerate(batch["record"]):
            np.testing.assert_array_equal(batch["image"][row], originals[record][0])


def test_a_test_split_comes_in_stored_order(class_data):
    found = batches(reader_of(class_data, "test", training=False))
    records = np.concatenate([batch["record"][batch["weight"] > 0] for batch in found])
    np.testing.assert_array_equal(records, np.arange(10))


@pytest.mark.parametrize("count", [2, 4])
def test_several_pipelines_give_the_rows_of_one(class_data, count):
    whole = batches(reader_of(class_data))
    parts = [batches(reader_of(class_data), 0, ReplicaSlice(i, 1, count)) for i in range(count)]
    for step, expected in enumerate(whole):
        for name, values in expected.items():
            joined = np.concatenate([part[step][name] for part in parts])
            np.testing.assert_array_equal(joined, values)


def test_a_pipeline_of_two_replicas_gives_their_batches_in_turn(class_data):
    whole = batches(reader_of(class_data))
    reader = reader_of(class_data)
    both = [b["record"].numpy() for b in reader.dataset(0, ReplicaSlice(0, 2, 2), 3)]
    joined = np.concatenate(both).reshape(3, -1)
    np.testing.assert_array_equal(joined, [batch["record"] for batch in whole])


def test_starting_at_a_step_is_skipping_the_ones_before_it(class_data):
    """Step 4 of 3 a pass lies in the second pass: other variants, another order."""
    whole = batches(reader_of(class_data), steps=6)
    found = batches(reader_of(class_data), 4, steps=2)
    for expected, batch in zip(whole[4:], found, strict=True):
        for name, values in expected.items():
            np.testing.assert_array_equal(batch[name], values)


def test_first_pictures_are_those_of_the_first_batch(class_data):
    reader = reader_of(class_data)
    np.testing.assert_array_equal(reader.first_pictures(5), batches(reader)[0]["image"][:5])


def test_pictures_are_the_originals_by_number(class_data):
    expected = stored(class_data, "train", 0)
    for number, pixels in zip((20, 0, 7), reader_of(class_data).pictures([20, 0, 7]), strict=True):
        np.testing.assert_array_equal(pixels, expected[number][0])


def assert_same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for name, values in other.items():
            np.testing.assert_array_equal(one[name], values)


@pytest.mark.parametrize("variants", [0, 1])
@pytest.mark.parametrize("kind", ["decoded", "encoded"])
def test_a_table_gives_the_batches_of_a_stream(class_data, kind, variants):
    """Through four passes of 3 steps, in all three variants or the first."""
    changes = {"data__variants": variants}
    expected = batches(reader_of(class_data, **changes), steps=12)
    reader = reader_of(class_data, data__image_table=kind, **changes)
    assert (reader.table, reader.pictures_in_table) == (kind, 21)
    assert_same(batches(reader, steps=12), expected)


@pytest.mark.parametrize("part", [ReplicaSlice(1, 1, 2), ReplicaSlice(0, 2, 2)])
@pytest.mark.parametrize("first", [2, 3, 4])
def test_a_table_starts_anywhere_for_any_replicas_as_a_stream_does(class_data, part, first):
    """At the end of the first pass, at the start of the second, and inside it."""
    expected = batches(reader_of(class_data), first, part, steps=4)
    found = reader_of(class_data, data__image_table="decoded")
    assert_same(batches(found, first, part, steps=4), expected)


def test_a_test_split_is_kept_for_every_time_it_is_gone_through(class_data, monkeypatch):
    expected = batches(reader_of(class_data, "test", training=False))
    reader = reader_of(class_data, "test", training=False, data__image_table="decoded")
    built = []
    build = reader._table.build
    monkeypatch.setattr(reader._table, "build", lambda p, *part: built.append(p) or build(p, *part))
    for _ in range(2):
        assert_same(batches(reader), expected)
    assert len(built) == 1  # traced once, and the result is kept


def test_classes_are_streamed_unless_a_table_is_asked_for(class_data):
    reader = reader_of(class_data)
    assert (reader.table, reader.table_bytes, reader.pictures_in_table) == ("", 0, 0)


def test_a_table_of_classes_that_does_not_fit_is_refused_with_the_ways_out(class_data, monkeypatch):
    """21 pictures of 24x24x3 at 2.6 tables are 94,348 bytes; encoded, noise is larger still."""
    stored = max(
        sum(shard.bytes for shard in Manifest.load(class_data).split("train").image_shards(v))
        for v in range(3)
    )
    assert int(stored * 2.6) > 94_348
    free = [0]
    monkeypatch.setattr(
        table_memory, "available_bytes", lambda: int(free[0] / table_memory.SHARE) + 2
    )
    with pytest.raises(ConfigError, match=r"94,348 bytes.*'train'.*data\.image_table=auto"):
        reader_of(class_data, data__image_table="decoded")
    free[0] = 94_348
    assert reader_of(class_data, data__image_table="decoded").table_bytes == 94_348


@pytest.mark.parametrize("kind", ["auto", "decoded"])
@pytest.mark.parametrize("reads", [1, 8])
def test_how_many_reads_go_on_at_a_time_changes_no_batch(class_data, kind, reads):
    expected = batches(reader_of(class_data), steps=7)
    found = reader_of(class_data, data__image_table=kind, data__parallel_reads=reads)
    assert_same(batches(found, steps=7), expected)


@pytest.fixture(scope="module")
def mixed_data(tmp_path_factory):
    return datasets.class_folders(tmp_path_factory.mktemp("mixed"), mixed=True)


def test_pictures_of_mixed_sizes_are_stretched_to_the_size_of_the_model(mixed_data):
    """Area averaging keeps the mean, so class `bright` stays twice as bright as `dark`."""
    reader = reader_of(mixed_data, data__variants=1)
    assert reader.picture_shape == (24, 24, 3)
    means = {0: [], 1: []}
    for batch in batches(reader):
        assert batch["image"].shape == (8, 24, 24, 3)
        for image, label in zip(batch["image"], batch["label"], strict=True):
            means[label].append(image.mean())
    assert np.mean(means[0]) == pytest.approx(127, abs=5)
    assert np.mean(means[1]) == pytest.approx(63.5, abs=5)


@pytest.mark.parametrize("kind", ["decoded", "encoded"])
def test_a_table_of_mixed_sizes_has_the_stretched_pictures(mixed_data, kind):
    expected = batches(reader_of(mixed_data), steps=4)
    assert_same(batches(reader_of(mixed_data, data__image_table=kind), steps=4), expected)


def test_mixed_sizes_are_stretched_to_what_the_crop_is_taken_from(mixed_data):
    reader = reader_of(mixed_data, augment__enabled=True, augment__resize_to=40, augment__crop=24)
    assert reader.picture_shape == (40, 40, 3)
    assert batches(reader, steps=1)[0]["image"].shape == (8, 40, 40, 3)


@pytest.mark.parametrize("encoding", ["jpeg", "raw"])
def test_jpeg_and_raw_pictures_are_those_that_preprocess_reads(tmp_path, encoding):
    """TensorFlow's default JPEG decoder differs from the accurate one by few grey levels."""
    data = datasets.class_folders(tmp_path, "--variants=1", "--shards=1", f"--encoding={encoding}")
    reader = reader_of(data, "test", training=False)
    for batch in batches(reader):
        for image, record, weight in zip(
            batch["image"], batch["record"], batch["weight"], strict=True
        ):
            expected = stored(data, "test", 0)[record][0].astype(int)
            tolerance = 0 if encoding == "raw" else 8
            assert not weight or np.abs(image.astype(int) - expected).max() <= tolerance


def test_grey_pictures_keep_one_channel_or_get_three(digit_data):
    grey = batches(reader_of(digit_data, model__channels=1), steps=1)[0]
    colour = batches(reader_of(digit_data), steps=1)[0]
    assert grey["image"].shape == (8, 28, 28, 1)
    for channel in range(3):
        np.testing.assert_array_equal(colour["image"][..., channel], grey["image"][..., 0])
    # Class n has its bar in rows 2n to 2n + 2.
    for image, label in zip(grey["image"], grey["label"], strict=True):
        assert np.flatnonzero(image.any(axis=(1, 2))).tolist() == [2 * label + i for i in range(3)]


def damaged(data, tmp_path, how):
    """A copy of a dataset whose first training shard of variant 0 is damaged."""
    copy = shutil.copytree(data, tmp_path / "copy")
    shard = Manifest.load(data).split("train").image_shards(0)[0]
    path = Path(copy, shard.file)
    if how == "missing":
        path.unlink()
    elif how == "truncated":
        os.truncate(path, shard.bytes - 10)
    elif how == "index":
        (Path(copy) / index_file(shard.file)).write_text("1 2\n")
    else:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    return str(copy), shard.file


@pytest.mark.parametrize("how", ["missing", "truncated"])
def test_a_shard_that_is_missing_or_cut_is_refused_at_once_by_name(class_data, tmp_path, how):
    copy, file = damaged(class_data, tmp_path, how)
    with pytest.raises(DataError, match=file):
        reader_of(copy)


def test_a_damaged_index_is_refused_by_name(class_data, tmp_path):
    copy, file = damaged(class_data, tmp_path, "index")
    reader = reader_of(copy, data__variants=1)
    with pytest.raises(DataError, match=index_file(file)):
        reader.pictures([0])


@pytest.mark.parametrize("kind", ["auto", "decoded", "encoded"])
def test_a_flipped_bit_ends_the_pass_with_the_name_of_the_shard(class_data, tmp_path, kind):
    copy, file = damaged(class_data, tmp_path, "flipped")
    reader = reader_of(copy, data__variants=1, data__image_table=kind)
    with pytest.raises(tf.errors.OpError) as caught:
        batches(reader)
    error = read_error(reader, caught.value)
    assert isinstance(error, DataError)
    assert file in str(error) and "verify" in str(error)


@pytest.mark.parametrize("kind", ["auto", "decoded"])
def test_a_label_that_is_not_of_the_classes_is_bad_data_by_its_number(class_data, tmp_path, kind):
    """The records are of two classes or more, the manifest has the first one only."""
    copy = shutil.copytree(class_data, tmp_path / "copy")
    fields = json.loads((copy / MANIFEST_FILE).read_text())
    fields["classes"] = fields["classes"][:1]
    (copy / MANIFEST_FILE).write_text(json.dumps(fields))
    reader = reader_of(str(copy), data__image_table=kind)
    with pytest.raises(tf.errors.OpError) as caught:
        batches(reader)
    error = read_error(reader, caught.value)
    assert isinstance(error, DataError)
    assert re.search(r"outside of the classes .*\(1", str(error))
