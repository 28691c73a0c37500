"""open_dataset: the trainer's batches without TensorFlow, on any workers, from any step."""

import json
import os
import random
import shutil
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

from preprocess.dataset_format import MANIFEST_FILE, Manifest, index_file
from preprocess.shell.errors import ConfigError, DataError
from tests.trainer import datasets
from trainer.data import open_dataset
from trainer.data.order import ReplicaSlice
from trainer.data.reader import open_reader

BASES = {"triplet": datasets.TRIPLET, "classification": datasets.CLASSIFICATION}
OTHERS = {
    "multilabel": ("--labels=tags", "--separator=|"),
    "regression": ("--targets=age,size",),
    "class_and_numbers": ("--label=tags", "--targets=age"),
    "labels_and_numbers": ("--labels=tags", "--separator=|", "--targets=size,age"),
}
BASES |= {name: {**datasets.CLASSIFICATION, "task": name} for name in OTHERS}


def of_the_trainer(data, split="train", training=True, steps=None, **changes):
    """The batches that a training reads, of the given steps or one pass."""
    manifest = Manifest.load(data)
    config = datasets.configuration(BASES[manifest.task], **changes)
    reader = open_reader(data, manifest, split, config, training=training)
    steps = steps or reader.steps_per_pass
    found = reader.dataset(0, ReplicaSlice(), steps)
    return [{name: values.numpy() for name, values in batch.items()} for batch in found]


def opened(data, **settings):
    return open_dataset(data, **{"batch_size": 8, "variants": 0, "image_size": 24, **settings})


def assert_same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for name, values in other.items():
            assert one[name].dtype == values.dtype, name
            np.testing.assert_array_equal(one[name], values, err_msg=name)


@pytest.fixture(params=["class_data", "triplet_data"])
def data(request):
    """Each kind of records in turn, in three variants."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def jpeg_data(tmp_path_factory):
    pictures = datasets.write_folders(tmp_path_factory.mktemp("jpeg") / "pictures", "jpg")
    return datasets.build(
        pictures.parent / "data", "--source=folders", f"--images={pictures}", "--variants=2"
    )


@pytest.fixture(scope="module")
def raw_data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw")
    return datasets.class_folders(folder, "--variants=2", "--shards=2", "--encoding=raw")


@pytest.fixture(scope="module")
def mixed_data(tmp_path_factory):
    return datasets.class_folders(tmp_path_factory.mktemp("mixed"), mixed=True)


def test_two_passes_are_those_of_the_trainer(data):
    steps = 2 * opened(data).steps_per_pass
    expected = of_the_trainer(data, steps=steps)
    loader = opened(data)
    assert_same(list(loader.numpy_batches(steps)), expected)
    assert_same([loader.batch(step) for step in range(steps)], expected)


@pytest.mark.parametrize("cache_bytes", [0, 1 << 20])
@pytest.mark.parametrize("task", OTHERS)
def test_targets_of_every_kind_are_those_of_the_trainer(task, cache_bytes, tmp_path):
    columns = {
        "tags": ["|".join([*["x"] * (at % 2), *["y"] * (at % 3), "z"]) for at in range(31)],
        "age": [str(at / 3) for at in range(31)],
        "size": [str(-at) for at in range(31)],
        "w": [str(at % 4) for at in range(31)],
    }
    data = datasets.table(tmp_path, columns, *OTHERS[task], "--weight=w")
    expected = of_the_trainer(data, steps=6)
    loader = opened(data, cache_bytes=cache_bytes)
    assert {"record_weight"} <= expected[0].keys()
    assert_same(list(loader.numpy_batches(6)), expected)
    ring = opened(data).tf_dataset(3)
    found = [{k: v.numpy() for k, v in batch.items()} for batch in ring]
    assert_same(found, expected[:3])


@pytest.mark.parametrize("kind", ["jpeg_data", "raw_data", "digit_data", "mixed_data"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_encoding_has_the_pixels_of_the_trainer(request, kind, channels):
    data = request.getfixturevalue(kind)
    expected = of_the_trainer(data, steps=6, model__channels=channels)
    assert_same(list(opened(data, channels=channels).numpy_batches(6)), expected)


@pytest.mark.parametrize("settings", [{"seed": 3}, {"variants": 1}, {"batch_size": 5}])
def test_settings_are_the_keys_of_the_trainer(data, settings):
    names = {"variants": "data__variants"}
    changes = {names.get(name, name): value for name, value in settings.items()}
    expected = of_the_trainer(data, steps=7, **changes)
    assert_same(list(opened(data, **settings).numpy_batches(7)), expected)


def test_another_split_is_gone_through_once_in_stored_order(data):
    expected = of_the_trainer(data, "test", training=False)
    loader = opened(data, split="test")
    assert_same(list(loader.numpy_batches()), expected)
    assert loader.step == loader.steps_per_pass == len(expected)


def test_a_tf_dataset_has_the_same_batches(data):
    loader = opened(data)
    found = [{k: v.numpy() for k, v in batch.items()} for batch in loader.tf_dataset(7)]
    assert_same(found, [loader.batch(step) for step in range(7)])


@pytest.mark.parametrize("count", [1, 2, 4])
def test_the_shares_of_the_workers_are_the_global_batch(data, count):
    whole = opened(data)
    steps = 2 * whole.steps_per_pass
    workers = [opened(data, worker=(rank, count)).numpy_batches(steps) for rank in range(count)]
    joined = [
        {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        for parts in zip(*workers, strict=True)
    ]
    assert_same(joined, [whole.batch(step) for step in range(steps)])
    for pass_number in range(2):
        rows = joined[pass_number * whole.steps_per_pass :][: whole.steps_per_pass]
        seen = np.concatenate([batch["record"][batch["weight"] > 0] for batch in rows])
        assert sorted(seen) == list(range(whole.records))


@pytest.mark.parametrize("cache_bytes", [0, 24 * 24 * 3 * 4, 1 << 24])
def test_kept_pictures_change_no_batch(data, cache_bytes):
    """None, of four pictures (two of 32x32) and of all, through passes with other variants."""
    expected = of_the_trainer(data, steps=12)
    assert_same(list(opened(data, cache_bytes=cache_bytes).numpy_batches(12)), expected)


def test_a_state_goes_on_behind_the_last_batch_that_was_given_out(data):
    whole = [opened(data).batch(step) for step in range(12)]
    for stop in random.Random(0).sample(range(12), 5):
        first = opened(data)
        for _ in zip(range(stop), first.numpy_batches(), strict=False):
            pass
        state = json.loads(json.dumps(first.state_dict()))
        assert state["step"] == stop
        second = opened(data)
        second.load_state_dict(state)
        assert_same(list(second.numpy_batches(12 - stop)), whole[stop:])


def test_a_state_goes_on_on_other_workers(data):
    loader = opened(data, worker=(1, 2))
    loader.load_state_dict(opened(data).state_dict(step=5))
    expected = opened(data).batch(5)
    found = next(iter(loader.numpy_batches()))
    assert_same([found], [{name: values[4:] for name, values in expected.items()}])


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"seed": 1}, "seed"), ({"batch_size": 16}, "batch_size"), ({"variants": 1}, "reads")],
)
def test_a_state_of_other_batches_is_refused_by_what_differs(data, settings, words):
    with pytest.raises(ConfigError, match=words):
        opened(data, **settings).load_state_dict(opened(data).state_dict())


def test_a_state_of_another_dataset_is_refused(class_data, triplet_data):
    with pytest.raises(ConfigError, match="reads"):
        opened(triplet_data).load_state_dict(opened(class_data).state_dict())


@pytest.mark.parametrize("step", [None, -1, True, "3"])
def test_a_state_without_a_step_is_refused(class_data, step):
    loader = opened(class_data)
    with pytest.raises(ConfigError, match="step"):
        loader.load_state_dict({**loader.state_dict(), "step": step})


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"batchsize": 8}, "batch_size"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"worker": (2, 2)}, "rank, count"),
        ({"worker": (0, 3)}, "cannot be divided"),
        ({"split": "dev"}, "it has .*test"),
        ({"channels": 4}, "channels=4"),
        ({"cache_bytes": -1}, "cache_bytes=-1"),
        ({"threads": 0}, "threads=0"),
    ],
)
def test_bad_settings_are_refused_with_what_to_give(class_data, settings, words):
    with pytest.raises(ConfigError, match=words):
        opened(class_data, **settings)


def reading_threads():
    return [t for t in threading.enumerate() if t.name.startswith("batches")]


@pytest.mark.parametrize("end", ["exhausted", "closed", "dropped"])
def test_no_thread_outlives_the_batches(class_data, end):
    batches = opened(class_data, threads=3).numpy_batches(5)
    next(batches)
    assert reading_threads()
    if end == "exhausted":
        list(batches)
    elif end == "closed":
        batches.close()
    del batches
    assert not reading_threads()


def copied(data, tmp_path):
    return shutil.copytree(data, tmp_path / "copy")


def test_a_flipped_bit_is_reported_in_its_turn_with_file_and_place(data, tmp_path):
    """In each record of a shard, as not every picture is in a triplet."""
    copy = copied(data, tmp_path)
    shard = Manifest.load(data).split("train").image_shards(0)[0]
    content = bytearray((copy / shard.file).read_bytes())
    index = (copy / index_file(shard.file)).read_text().splitlines()
    offsets = [int(line.split()[1]) for line in index]
    for offset in offsets:
        content[offset + 40] ^= 1
    (copy / shard.file).write_bytes(content)
    with pytest.raises(DataError, match=rf"{shard.file}.* at byte \d+; .*verify") as caught:
        list(opened(str(copy), variants=1).numpy_batches(6))
    assert int(str(caught.value).split("at byte ")[1].split(";")[0]) in offsets
    assert not reading_threads()


def test_a_shard_that_is_cut_is_refused_at_once(data, tmp_path):
    copy = copied(data, tmp_path)
    shard = Manifest.load(data).split("train").image_shards(0)[0]
    os.truncate(copy / shard.file, shard.bytes - 10)
    with pytest.raises(DataError, match=shard.file):
        opened(str(copy))


def test_a_damaged_triplet_shard_is_refused_with_its_place(triplet_data, tmp_path):
    copy = copied(triplet_data, tmp_path)
    shard = Manifest.load(triplet_data).split("train").triplet_shards()[0]
    content = bytearray((copy / shard.file).read_bytes())
    content[30] ^= 1
    (copy / shard.file).write_bytes(content)
    with pytest.raises(DataError, match=rf"{shard.file}.*at byte 0"):
        opened(str(copy))


def test_an_index_that_is_missing_is_made(data, tmp_path):
    copy = copied(data, tmp_path)
    for path in copy.rglob("*.index"):
        path.unlink()
    found = list(opened(str(copy)).numpy_batches(6))
    assert_same(found, [opened(data).batch(step) for step in range(6)])


def test_a_label_that_is_not_of_the_classes_is_bad_data(class_data, tmp_path):
    copy = copied(class_data, tmp_path)
    fields = json.loads((copy / MANIFEST_FILE).read_text())
    fields["classes"] = fields["classes"][:1]
    (copy / MANIFEST_FILE).write_text(json.dumps(fields))
    with pytest.raises(DataError, match=r"outside of the classes .*\(1"):
        list(opened(str(copy)).numpy_batches(3))


def test_it_needs_no_tensorflow(class_data, triplet_data):
    """Nor Keras, hub or Beam: in a process of its own, for both kinds of records."""
    script = textwrap.dedent(
        """
        import sys
        from trainer.data import open_dataset
        for data in sys.argv[1:]:
            loader = open_dataset(data, batch_size=8)
            print(sum(len(batch["image"]) for batch in loader.numpy_batches(3)))
            loader.load_state_dict(loader.state_dict())
        heavy = {"tensorflow", "keras", "tf_keras", "tensorflow_hub", "apache_beam", "matplotlib"}
        print(sorted(heavy & sys.modules.keys()))
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script, class_data, triplet_data],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["24", "24", "[]"]
