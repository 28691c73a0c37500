"""The triplet reader: a table of the pass's pictures, and batches gathered from it."""

import itertools
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from preprocess.dataset_format import ImageKey, Manifest, TripletKey
from preprocess.shards import reading
from preprocess.shell.errors import ConfigError, DataError
from tests.trainer import datasets
from trainer.data import table, table_memory
from trainer.data.order import ReplicaSlice
from trainer.data.reader import open_reader, open_readers
from trainer.data.sets import open_sets
from trainer.data.table_memory import TableMemory
from trainer.training.evaluation import read_error

VARIANTS = 3
ONE = ReplicaSlice()


def reader_of(data, split="train", *, training=True, **changes):
    config = datasets.configuration(datasets.TRIPLET, **changes)
    return open_reader(data, Manifest.load(data), split, config, training=training)


def batches(reader, first=0, part=ONE, steps=None):
    steps = steps or reader.steps_per_pass
    return [{k: v.numpy() for k, v in b.items()} for b in reader.dataset(first, part, steps)]


def pictures(data, split, variant):
    """{key: (shard, pixels)} of a variant, read without TensorFlow."""
    shards = Manifest.load(data).split(split).image_shards(variant)
    return {
        record[ImageKey.KEY]: (number, reading.pixels(record))
        for number, shard in enumerate(shards)
        for record in reading.records(data, shard.file)
    }


def rows(data, split):
    """The triplet records in stored order."""
    shards = Manifest.load(data).split(split).triplet_shards()
    return list(itertools.chain(*(reading.records(data, shard.file) for shard in shards)))


@pytest.mark.parametrize("pass_number", [0, 1, 2])
def test_each_triplet_has_its_votes_and_pictures_in_the_variants_of_the_pass(
    triplet_data, pass_number
):
    """Pass p shows the pictures of shard s in variant (p + s) mod 3."""
    reader = reader_of(triplet_data)
    expected = rows(triplet_data, "train")
    variants = [pictures(triplet_data, "train", variant) for variant in range(VARIANTS)]
    seen = []
    for batch in batches(reader, pass_number * reader.steps_per_pass):
        for row in np.flatnonzero(batch["weight"]):
            record = batch["record"][row]
            triplet = expected[record]
            np.testing.assert_allclose(batch["votes"][row], triplet[TripletKey.VOTES], rtol=1e-6)
            for image, key in zip(batch["image"][row], triplet[TripletKey.IMAGES], strict=True):
                shard, _ = variants[0][key]
                _, pixels = variants[(pass_number + shard) % VARIANTS][key]
                np.testing.assert_array_equal(image, pixels)
            seen.append(record)
    assert sorted(seen) == list(range(33))


def test_the_decoded_and_the_encoded_table_give_the_same_batches(triplet_data):
    """Four passes' worth: each has its own variants."""
    steps = 4 * 5
    decoded = batches(reader_of(triplet_data, data__image_table="decoded"), steps=steps)
    encoded = batches(reader_of(triplet_data, data__image_table="encoded"), steps=steps)
    assert len(decoded) == len(encoded) == steps
    for one, other in zip(decoded, encoded, strict=True):
        for name, values in one.items():
            np.testing.assert_array_equal(other[name], values)


@pytest.mark.parametrize("count", [2, 4])
def test_several_pipelines_give_the_rows_of_one(triplet_data, count):
    whole = batches(reader_of(triplet_data))
    parts = [batches(reader_of(triplet_data), 0, ReplicaSlice(i, 1, count)) for i in range(count)]
    for step, expected in enumerate(whole):
        for name, values in expected.items():
            joined = np.concatenate([part[step][name] for part in parts])
            np.testing.assert_array_equal(joined, values)


@pytest.mark.parametrize("start", [3, 5, 7])
def test_starting_at_a_step_is_skipping_the_ones_before_it(triplet_data, start):
    """5 steps a pass: within the first pass, at the start of the second, and inside it."""
    whole = batches(reader_of(triplet_data), steps=9)
    found = batches(reader_of(triplet_data), start, steps=9 - start)
    for expected, batch in zip(whole[start:], found, strict=True):
        for name, values in expected.items():
            np.testing.assert_array_equal(batch[name], values)


def test_two_replicas_of_one_pipeline_start_anywhere_too(triplet_data):
    both = ReplicaSlice(0, 2, 2)
    whole = batches(reader_of(triplet_data), 0, both, steps=7)
    found = batches(reader_of(triplet_data), 6, both, steps=1)
    assert len(whole) == 14 and len(found) == 2
    for expected, batch in zip(whole[12:], found, strict=True):
        np.testing.assert_array_equal(batch["record"], expected["record"])
        np.testing.assert_array_equal(batch["image"], expected["image"])


@pytest.mark.parametrize("table", ["decoded", "encoded"])
def test_variants_1_shows_the_originals_in_every_pass(triplet_data, table):
    reader = reader_of(triplet_data, data__variants=1, data__image_table=table)
    originals = pictures(triplet_data, "train", 0)
    keys = [row[TripletKey.IMAGES] for row in rows(triplet_data, "train")]
    for batch in batches(reader, reader.steps_per_pass):
        for row, record in enumerate(batch["record"]):
            for image, key in zip(batch["image"][row], keys[record], strict=True):
                np.testing.assert_array_equal(image, originals[key][1])


def test_a_test_split_comes_in_stored_order(triplet_data):
    found = batches(reader_of(triplet_data, "test", training=False))
    records = np.concatenate([batch["record"][batch["weight"] > 0] for batch in found])
    np.testing.assert_array_equal(records, np.arange(27))


def test_first_pictures_are_those_of_the_first_batch(triplet_data):
    reader = reader_of(triplet_data)
    np.testing.assert_array_equal(reader.first_pictures(5), batches(reader)[0]["image"][:5])


def test_pictures_of_a_triplet_can_be_had_by_its_number(triplet_data):
    """In stored order the test split's triplet 3 is the third row of its first batch."""
    reader = reader_of(triplet_data, "test", training=False)
    (found,) = reader.pictures([3])
    np.testing.assert_array_equal(found, batches(reader)[0]["image"][3])


def test_the_next_table_is_built_while_the_pass_before_it_is_used(triplet_data, monkeypatch):
    """One batch of pass 0 is taken, no more: the table of pass 1 is built all the same."""
    built, second = [], threading.Event()
    reader = reader_of(triplet_data)
    build = reader._table.build

    def note(pass_number):
        built.append(int(pass_number))
        if len(built) == 2:
            second.set()

    def noting(pass_number):
        tf.numpy_function(note, [pass_number], [])
        return build(pass_number)

    monkeypatch.setattr(reader._table, "build", noting)
    iterator = iter(reader.dataset(0, ONE))
    next(iterator)
    assert second.wait(30)
    assert built == [0, 1]


def test_pictures_of_different_sizes_are_refused_with_the_flag_to_use(tmp_path):
    """Every third face is cut to 60x50; without --image_size the build keeps it so."""
    from PIL import Image

    from preprocess.synth.dataset import synthesise

    synthesise(tmp_path / "synth", 40, 60, 0.45, 0, progress=False)
    for path in sorted((tmp_path / "synth" / "images_cropped").iterdir())[::3]:
        Image.open(path).crop((0, 0, 60, 50)).save(path)
    data = datasets.triplets(tmp_path, "--variants=1", "--shards=1")
    with pytest.raises(ConfigError, match="--image_size"):
        reader_of(data)


def damaged(data, tmp_path, how, kind="images"):
    copy = shutil.copytree(data, tmp_path / "copy")
    split = Manifest.load(data).split("train")
    shard = (split.image_shards(0) if kind == "images" else split.triplet_shards())[0]
    path = Path(copy, shard.file)
    if how == "missing":
        path.unlink()
    elif how == "truncated":
        os.truncate(path, shard.bytes - 10)
    else:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    return str(copy), shard.file


@pytest.mark.parametrize("kind", ["images", "triplets"])
@pytest.mark.parametrize("how", ["missing", "truncated"])
def test_a_shard_that_is_missing_or_cut_is_refused_at_once_by_name(
    triplet_data, tmp_path, how, kind
):
    copy, file = damaged(triplet_data, tmp_path, how, kind)
    with pytest.raises(DataError, match=file):
        reader_of(copy)


def test_a_flipped_bit_among_the_triplets_is_refused_at_once(triplet_data, tmp_path):
    copy, _ = damaged(triplet_data, tmp_path, "flipped", "triplets")
    with pytest.raises(DataError, match=r"damaged.*verify"):
        reader_of(copy)


@pytest.mark.parametrize("variants", [0, 1])
def test_a_flipped_bit_among_the_pictures_ends_with_words_of_ours(triplet_data, tmp_path, variants):
    copy, file = damaged(triplet_data, tmp_path, "flipped")
    reader = reader_of(copy, data__variants=variants)
    with pytest.raises(tf.errors.OpError) as caught:
        batches(reader)
    error = read_error(reader, caught.value)
    assert isinstance(error, DataError)
    assert file in str(error) and "verify" in str(error)
    assert "\n" not in str(error) and "{{" not in str(error)


def table_bytes(data, variants):
    """(decoded, encoded) at the peak: 22 pictures of 32x32x3, or their shards' bytes."""
    split = Manifest.load(data).split("train")
    stored = max(sum(s.bytes for s in split.image_shards(v)) for v in range(variants))
    at_once = table.TABLES_AT_ONCE[variants > 1]
    return int(split.images * 32 * 32 * 3 * at_once), int(stored * at_once)


def free(monkeypatch, count):
    """Memory of which the reader may take `count` bytes."""
    monkeypatch.setattr(
        table_memory, "available_bytes", lambda: int(count / table_memory.SHARE) + 2
    )


@pytest.mark.parametrize("variants", [1, 3])
def test_the_decoded_table_is_taken_where_it_fits_and_else_the_encoded_one(
    triplet_data, monkeypatch, variants
):
    decoded, encoded = table_bytes(triplet_data, variants)
    assert encoded < decoded
    free(monkeypatch, decoded)
    assert reader_of(triplet_data, data__variants=variants).table == "decoded"
    free(monkeypatch, decoded - 10)
    assert reader_of(triplet_data, data__variants=variants).table == "encoded"


def test_a_decoded_table_that_does_not_fit_is_refused_with_its_bytes_and_the_way_out(
    triplet_data, monkeypatch
):
    decoded, _ = table_bytes(triplet_data, 3)
    free(monkeypatch, decoded - 10)
    with pytest.raises(ConfigError, match=rf"{decoded:,} bytes.*data\.image_table=encoded"):
        reader_of(triplet_data, data__image_table="decoded")


@pytest.mark.parametrize("wanted", ["auto", "encoded"])
def test_where_no_table_fits_the_bytes_of_the_smaller_one_are_named(
    triplet_data, monkeypatch, wanted
):
    _, encoded = table_bytes(triplet_data, 3)
    free(monkeypatch, encoded - 10)
    with pytest.raises(ConfigError, match=rf"{encoded:,} bytes.*--image_size"):
        reader_of(triplet_data, data__image_table=wanted)


def test_the_memory_of_other_tables_is_not_given_away_twice(triplet_data, monkeypatch):
    decoded, _ = table_bytes(triplet_data, 3)
    free(monkeypatch, decoded + 50)
    manifest = Manifest.load(triplet_data)
    config = datasets.configuration(datasets.TRIPLET)
    for reserved, kind in ((40, "decoded"), (60, "encoded")):
        memory = TableMemory(reserved_bytes=reserved)
        reader = open_reader(triplet_data, manifest, "train", config, training=True, memory=memory)
        assert reader.table == kind


def test_workers_that_take_from_the_same_memory_share_it(triplet_data, monkeypatch):
    """Each would find the same bytes free, and all together be killed for them."""
    decoded, encoded = table_bytes(triplet_data, 3)
    config = datasets.configuration(datasets.TRIPLET, data__validation_splits=())
    sets = open_sets(config, [triplet_data])
    free(monkeypatch, 2 * decoded)
    assert open_readers(config, sets, workers=2)[0].table == "decoded"
    free(monkeypatch, 2 * decoded - 10)
    assert open_readers(config, sets, workers=2)[0].table == "encoded"
    assert open_readers(config, sets)[0].table == "decoded"
    free(monkeypatch, 2 * encoded - 10)
    with pytest.raises(ConfigError, match="or start fewer than 2 workers here"):
        open_readers(config, sets, workers=2)
