"""Live variants: pass p is variant p by every reader; waiting, reusing, and what is refused."""

import dataclasses
import json
import os
import shutil
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from preprocess.dataset_format import Manifest
from preprocess.live_format import FOLLOWER_FILE, live_manifest_file
from preprocess.shell.errors import ConfigError, DataError, RestartError
from preprocess.shell.kept_follower import HOW_TO_FOLLOW
from tests.shared import shared_folder
from tests.trainer import datasets, kills, live_runs
from trainer.data import live as live_module
from trainer.data.live import LiveVariants
from trainer.data.order import ReplicaSlice
from trainer.data.reader import open_reader
from trainer.data.records import StoredPictures
from trainer.data.sets import open_sets
from trainer.training.reused_variants import follow_live_variants
from trainer.training.run_directory import RunDirectory

PASSES = 5
TRIPLETS = ("--image_size=32", "--shards=2", "--encoding=png")


def _made(folder: Path) -> None:
    """Classes and triplets in 2 variants, followed to variant 4, and the same in 5 variants."""
    live_runs.class_data(folder, PASSES, "whole")
    datasets.triplets(folder / "whole_triplets", *TRIPLETS, f"--variants={PASSES}")
    run = folder / "run"
    run.mkdir()
    progress = {"pass": 2, "last_pass": PASSES - 1}
    (run / "progress.json").write_text(json.dumps(progress))
    pairs = [
        (live_runs.class_data(folder, 2, "live"), "--ahead=2"),
        (datasets.triplets(folder / "live_triplets", *TRIPLETS, "--variants=2"), "--ahead=2"),
    ]
    for data, ahead in pairs:
        with live_runs.following(data, run, "--workers=1", ahead):
            last = Path(data, live_manifest_file(PASSES - 1))
            kills.wait_for(last.exists)


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    return shared_folder(tmp_path_factory, "live-variants", _made)


def reader_of(data, base, **changes):
    config = datasets.configuration(base, **changes)
    return open_reader(str(data), Manifest.load(data), "train", config, training=True)


def batches(reader, of_pass):
    """Those of a pass, by a reader of its own; what it reads ahead may be waited for meanwhile."""
    a_pass = reader.steps_per_pass
    iterator = iter(reader.dataset(of_pass * a_pass, ReplicaSlice()))
    found = [{k: v.numpy() for k, v in next(iterator).items()} for _ in range(a_pass)]
    if reader.live:
        reader.live.close()
    return found


@pytest.mark.parametrize("table", ["auto", "decoded", "encoded"])
@pytest.mark.parametrize("task", ["classes", "triplets"])
def test_each_pass_has_every_picture_in_its_variant(made, task, table):
    """Compared with what is read of a dataset that `build` gave that variant alone."""
    base = datasets.CLASSIFICATION if task == "classes" else datasets.TRIPLET
    changes = {"data__variants": "live", "data__image_table": table, "augment__enabled": False}
    data = made / ("live" if task == "classes" else "live_triplets/triplets")
    whole = made / ("whole" if task == "classes" else "whole_triplets/triplets")
    for of_pass in (1, 2, 4):  # stored, and twice live
        found = batches(reader_of(data, base, **changes), of_pass)
        single = _single(whole, of_pass)
        expected_of = reader_of(single, base, **{**changes, "data__variants": 1})
        expected = batches(expected_of, of_pass)
        for one, other in zip(found, expected, strict=True):
            assert one.keys() == other.keys()
            for key in one:
                np.testing.assert_array_equal(one[key], other[key])


def _single(data, variant):
    """A copy of a dataset whose only training variant is this one."""
    copy = Path(f"{data}-{variant}")
    if copy.exists():
        return copy
    shutil.copytree(data, copy)
    manifest = Manifest.load(copy)
    split = manifest.splits["train"]
    first, chosen = split.image_shards(0), split.image_shards(variant)
    shards = [dataclasses.replace(s, variant=0) for s in chosen] + split.triplet_shards()
    assert len(first) == len(chosen)
    only = dataclasses.replace(split, variants=1, shards=tuple(shards))
    splits = {**manifest.splits, "train": only}
    text = dataclasses.replace(manifest, splits=splits).to_json()
    (copy / "dataset.json").write_text(text)
    return copy


def live_of(data, on_late="wait"):
    return LiveVariants(str(data), Manifest.load(data), "train", on_late)


@pytest.fixture
def copied(made, tmp_path):
    """A copy of the followed classes that a test may change."""
    shutil.copytree(made / "live", tmp_path / "data")
    return tmp_path / "data"


def test_a_variant_is_there_when_its_manifest_is(copied):
    live = live_of(copied)
    assert live.there(0) and live.there(1)  # of the dataset
    (copied / live_manifest_file(3)).rename(copied / "aside")
    assert live.there(2) and not live.there(3)
    (copied / "aside").rename(copied / live_manifest_file(3))
    assert live.there(3)


def test_a_reader_waits_until_its_variant_comes(copied):
    live = live_of(copied)
    (copied / live_manifest_file(3)).rename(copied / "aside")
    found = []
    thread = threading.Thread(target=lambda: found.append(live.variant(3)))
    thread.start()
    thread.join(3 * live_module.POLL_SECONDS)
    assert not found
    (copied / "aside").rename(copied / live_manifest_file(3))
    thread.join(60)
    assert found == [3]


def test_a_reader_that_waits_ends_with_the_training(copied):
    live, raised = live_of(copied), []

    def wait():
        try:
            live.variant(99)
        except RestartError as error:
            raised.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    live.close()
    thread.join(60)
    assert raised


def test_reuse_takes_the_newest_older_one_and_keeps_to_it_for_the_pass(copied):
    live, told = live_of(copied, "reuse"), []
    live.on_reuse = lambda *pair: told.append(pair)
    (copied / live_manifest_file(4)).rename(copied / "aside")
    assert live.variant(3) == 3
    assert live.variant(4) == 3
    (copied / "aside").rename(copied / live_manifest_file(4))
    assert live.variant(4) == 3  # a pass is of one variant
    assert live.variant(5) == 4
    assert told == [] and live.reused_passes(9) == []  # read ahead, and not yet trained on
    assert [live.now_read(number) for number in (3, 4, 5)] == [3, 3, 4]
    assert [live.begins(number) for number in (3, 4, 4)] == [False, True, False]
    assert told == [(4, 3)]
    assert live.reused_passes(5) == [{"pass": 4, "variant": 3}]


def test_a_run_that_resumes_takes_what_it_took_before(copied):
    live = live_of(copied, "reuse")
    live.reused[4] = 2
    assert live.variant(4) == 2
    assert not live.begins(4)  # it is recorded already
    waiting = live_of(copied)
    waiting.reused[4] = 2
    assert waiting.variant(4) == waiting.now_read(4) == 4


def directory_of(folder):
    (folder / "run").mkdir(exist_ok=True)
    return RunDirectory(str(folder / "run"))


def follow(live, folder, resumed=True):
    workers = SimpleNamespace(alone=True, chief=True)
    follow_live_variants(live, directory_of(folder), print, workers, resumed=resumed)
    return live


def changed(path, **fields):
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def without_recipe(data):
    """A manifest as of --variants=1, which takes variants by any recipe."""
    changed(data / "dataset.json", recipe="")
    return data


def test_a_run_refuses_variants_by_another_recipe_than_its_first(copied, tmp_path):
    data = without_recipe(copied)
    assert follow(live_of(data), tmp_path, resumed=False).there(2)
    record = json.loads(directory_of(tmp_path).live_file.read_text())
    assert record.keys() == {"recipe", "seed", "libraries"}
    changed(data / live_manifest_file(3), recipe="1" * 64)
    live = follow(live_of(data), tmp_path)
    assert live.there(2)
    with pytest.raises(ConfigError, match=r"recipe \w+ -> 1111.*train in a new --workdir"):
        live.there(3)
    assert follow(live_of(data), tmp_path, resumed=False).there(3)  # of a new run


@pytest.mark.parametrize(
    ("fields", "told"),
    [({"recipe": "1" * 64}, "recipe"), ({"libraries": {"opencv": "0.1"}}, "opencv .* -> 0.1")],
)
def test_a_run_refuses_a_follower_by_other_means_as_it_starts(copied, tmp_path, fields, told):
    data = without_recipe(copied)
    assert follow(live_of(data), tmp_path).there(2)
    changed(data / FOLLOWER_FILE, **fields)
    with pytest.raises(ConfigError, match=told):
        follow(live_of(data), tmp_path)


@pytest.mark.parametrize(("seconds", "at_work"), [(0, True), (-3600, False), (1e9, False)])
def test_a_follower_is_at_work_while_its_file_is_of_now(copied, seconds, at_work):
    """A time far ahead is no sign of life: nothing would ever end it."""
    changed(Path(copied, FOLLOWER_FILE), time=time.time() + seconds)
    assert bool(live_of(copied).follower_at_work()) == at_work


@pytest.mark.parametrize(
    ("run", "told"),
    [
        ("/runs/other", "a follower of '/runs/other' is"),
        ("", "a follower is"),
        ("\x1b[2J\n", "a follower of '\\x1b[2J\\n' is"),
    ],
)
def test_who_waits_is_told_whose_follower_is_at_work(copied, run, told):
    changed(Path(copied, FOLLOWER_FILE), time=time.time(), run=run)
    assert live_of(copied).follower_at_work().startswith(f"{told} at work (")


def test_a_run_of_launch_advises_to_look_at_its_follower(copied, monkeypatch):
    assert live_of(copied).how_to_follow.startswith("start `python -m preprocess follow ")
    monkeypatch.setenv(HOW_TO_FOLLOW, "look at it")
    assert live_of(copied).how_to_follow == "look at it"


def test_a_pipe_in_place_of_a_small_file_is_not_waited_at(copied):
    for name in (FOLLOWER_FILE, live_manifest_file(3)):
        (copied / name).unlink()
        os.mkfifo(copied / name)
    live = live_of(copied)
    assert live.follower() is None
    with pytest.raises(DataError, match="not a regular file"):
        live.there(3)


def test_a_link_that_leads_out_of_the_dataset_is_refused(copied, tmp_path):
    folder = copied / "live" / "train" / "variant-03"
    folder.rename(tmp_path / "outside")
    folder.symlink_to(tmp_path / "outside")
    with pytest.raises(DataError, match="a link that leads outside"):
        live_of(copied).there(3)


def test_a_damaged_record_of_a_live_shard_is_named(copied):
    """By the reader of a run that has seen variant 3, and not variant 2, which is gone."""
    live = live_of(copied)
    assert live.there(2) and live.there(3)
    (copied / live_manifest_file(2)).unlink()
    shutil.rmtree(copied / "live" / "train" / "variant-02")
    shard = sorted((copied / "live" / "train" / "variant-03").glob("*.tfrecord"))[0]
    content = bytearray(shard.read_bytes())
    content[40] ^= 1
    shard.write_bytes(content)
    found = StoredPictures(str(copied), live, encoded=False).damage()
    assert str(shard) in str(found)


@pytest.mark.parametrize(
    ("field", "value"), [("base", "0" * 64), ("recipe", "1" * 64), ("seed", 7)]
)
def test_a_variant_of_something_else_is_refused(copied, field, value):
    path = copied / live_manifest_file(3)
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    with pytest.raises(DataError, match="is not of the dataset as this run reads it"):
        live_of(copied).there(3)


def test_a_shard_of_another_size_is_refused(copied):
    shard = sorted((copied / "live" / "train" / "variant-03").glob("*.tfrecord"))[0]
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(DataError, match="but the manifest says"):
        live_of(copied).there(3)


def test_a_manifest_that_leads_out_of_the_folder_is_refused(copied):
    path = copied / live_manifest_file(3)
    path.write_text(path.read_text().replace("live/train", "live/../../train"))
    with pytest.raises(DataError, match="is not below 'live'"):
        live_of(copied).there(3)


def test_a_follower_with_another_recipe_is_refused_at_the_start(copied):
    path = copied / FOLLOWER_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), "recipe": "1" * 64}))
    with pytest.raises(ConfigError, match="made by another recipe or seed"):
        live_of(copied)


def test_several_sets_are_refused(made):
    config = datasets.configuration(datasets.CLASSIFICATION, data__variants="live")
    with pytest.raises(ConfigError, match=r"data.variants=live reads one set, but --data names 2"):
        open_sets(config, [str(made / "live"), str(made / "whole")])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data__on_late": "reuse"}, "only with data.variants=live"),
        (
            {"data__on_late": "reuse", "data__variants": "live", "deterministic": True},
            "which variants are late is chance",
        ),
        ({"data__variants": "live", "data__train_split": "other"}, "only 'train' has variants"),
        ({"data__variants": "alive"}, "takes 'live' or an integer of at least 0"),
    ],
)
def test_combinations_that_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        datasets.configuration(datasets.CLASSIFICATION, **changes)
