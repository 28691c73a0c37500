"""`trainer check` on real datasets: what it finds before a run does."""

import json
import os
import re
import shutil

import pytest
import tensorflow as tf

from preprocess.dataset_format import Manifest
from tests.trainer import conftest, datasets
from trainer.preflight import facts
from trainer.preflight.preflight_run import exit_code, preflight
from trainer.workers import devices


@pytest.fixture
def checked(monkeypatch):
    """`checked(config, data, workdir)`: {name: Check}, in this process, on one replica."""

    def prepare(config, say):
        del say
        tf.keras.utils.set_random_seed(config.seed)
        return conftest.strategy(1)

    monkeypatch.setattr(devices, "prepare", prepare)

    def run(config, data, workdir=""):
        found = list(preflight(config, data, str(workdir)))
        return {check.name: check for check in found}

    return run


def failures(found):
    return [name for name, check in found.items() if check.status == "FAIL"]


def triplets(**changes):
    return datasets.configuration(datasets.TRIPLET, **changes)


def test_a_sound_run_passes_every_check_and_nothing_is_written(checked, triplet_data, tmp_path):
    found = checked(triplets(), triplet_data, tmp_path / "run")
    assert failures(found) == []
    assert list(found) == [
        "dataset", "workdir", "shards", "hub", "gpus", "gpu memory", "batch", "cpu", "steps",
        "model", "disk", "memory", "votes", "shapes", "pixels", "step", "start", "saving", "time",
    ]  # fmt: skip
    assert "2 shards" in found["shards"].value
    assert "5 steps a pass of 33 records" in found["steps"].value  # batches of 8
    assert found["steps"].status == "warning"  # 2 epochs, 3 variants
    assert "image [8,3,32,32,3]" in found["shapes"].value
    assert "the backbone wants 0..1" in found["pixels"].value
    assert found["pixels"].status == "ok"
    assert "decoded" in found["memory"].value
    assert "to the first step" in found["start"].value
    assert "every 5 steps" in found["saving"].value
    assert list(tmp_path.iterdir()) == []


def test_classes_pass_too(checked, class_data):
    found = checked(datasets.configuration(datasets.CLASSIFICATION), class_data)
    assert failures(found) == []
    assert "no table" in found["memory"].value and "label [8]" in found["shapes"].value


def test_two_workers_share_the_batch(checked, triplet_data, monkeypatch):
    """33 triplets in global batches of 8 are 5 steps, of which this machine does its half."""
    cluster = {"cluster": {"worker": ["there:1", "here:1"]}, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    found = checked(triplets(), triplet_data)
    assert failures(found) == []
    assert "2 shards" in found["shards"].value and "2 workers" in found["shards"].value
    assert found["batch"].value == "8 among 2 replicas, 4 each"
    assert "image [4,3,32,32,3]" in found["shapes"].value
    assert "5 steps" in found["steps"].value


def test_a_rate_that_diverges_is_seen_in_the_first_steps(checked, triplet_data):
    found = checked(triplets(optimizer__learning_rate=1e30), triplet_data)
    assert failures(found) == ["step"]
    assert "learning_rate" in found["step"].advice


def test_pixels_that_leave_the_range_of_the_backbone_are_seen(checked, tmp_path):
    """Pictures of 0 to 1 stored as bytes, as from a wrong conversion."""
    folder = tmp_path / "pictures"
    for name in ("a", "b"):
        for split in ("train", "test"):
            for number in range(4):
                path = folder / split / name / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                datasets.picture(False, number).point(lambda v: v // 100).save(path)
    flags = ["--source=folders", f"--images={folder}", "--variants=1", "--encoding=png"]
    data = datasets.build(tmp_path / "data", *flags)
    found = checked(datasets.configuration(datasets.CLASSIFICATION, batch_size=4), data)
    assert failures(found) == ["pixels"]
    assert exit_code(list(found.values())) == os.EX_DATAERR


@pytest.mark.parametrize(
    ("changes", "name", "words"),
    [
        ({"batch_size": 8, "model__backbone": "hub:/nowhere"}, "hub", "no SavedModel"),
        ({"model__backbone": "keras:Nothing"}, "model", "similar names"),
        ({"optimizer__name": "nothing"}, "model", "nothing"),
        ({"data__validation_splits": ("none",)}, "dataset", "no split 'none'"),
    ],
)
def test_a_configuration_that_cannot_be_ends_with_78_and_the_remedy(
    checked, triplet_data, changes, name, words
):
    found = checked(triplets(**changes), triplet_data)
    assert failures(found) == [name]
    assert words in found[name].advice
    assert exit_code(list(found.values())) == os.EX_CONFIG


@pytest.mark.parametrize("damage", ["none", "short", "flipped"])
def test_a_dataset_that_cannot_be_read_ends_with_65(checked, triplet_data, tmp_path, damage):
    if damage == "none":
        data = tmp_path
    else:
        data = shutil.copytree(triplet_data, tmp_path / "data")
        shard = data / Manifest.load(data).split("train").image_shards(0)[0].file
        content = bytearray(shard.read_bytes())
        content[len(content) // 2] ^= 1
        shard.write_bytes(content[:-1] if damage == "short" else content)
    found = checked(triplets(), str(data))
    name = {"none": "dataset", "short": "shards", "flipped": "step"}[damage]
    assert failures(found) == [name]
    assert exit_code(list(found.values())) == os.EX_DATAERR


def test_a_run_of_another_configuration_is_refused_before_it_starts(
    triplet_data, tmp_path, train_here
):
    run = str(tmp_path / "run")
    train_here(triplets(epochs=1), triplet_data, run)
    manifest = Manifest.load(triplet_data)
    assert facts.run_difference(run, triplets(epochs=3), manifest) == (True, "")
    found = preflight(triplets(loss__delta=0.25), triplet_data, run)
    other = next(check for check in found if check.name == "workdir")
    assert other.status == "FAIL" and "loss.delta (0.5 -> 0.25)" in other.advice


@pytest.mark.slow
def test_the_command_prints_a_line_a_check_or_one_object(triplet_data, tmp_path):
    config = datasets.write_config(tmp_path / "config.py", datasets.TRIPLET, virtual_replicas=2)
    flags = ["check", f"--config={config}", f"--data={triplet_data}"]
    done = datasets.command("trainer", *flags, "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert found["ok"] is True
    assert {"name", "status", "value", "advice"} == found["checks"][0].keys()
    assert {row["name"] for row in found["checks"]} >= {"batch", "step", "time"}
    # Before TensorFlow is imported: at once.
    refused = datasets.command("trainer", *flags, f"--data={tmp_path}")
    assert refused.returncode == os.EX_DATAERR
    assert re.search(r"^dataset +FAIL .*\n.*no dataset\.json", refused.stdout)
