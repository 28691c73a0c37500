"""A build that was stopped, by whatever, goes on and redoes only what is needed."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from preprocess.shards import build_shard as shards
from preprocess.shards import reading
from preprocess.shards.workspace import Workspace
from preprocess.shell.errors import ConfigError, OutputError, UsageError
from preprocess.sources.splitting import parse_splits
from tests import forked
from tests.benchmarks import bench_build
from tests.preprocess import made

SHARD = "train/variant-01/images-00002-of-00004.tfrecord"
# 4 shards of train in 3 variants, 4 of test in one, a triplet shard each.
ALL = 4 * 3 + 4 + 2


def touched(dataset: Path, before: dict[str, int]) -> set[str]:
    """Shards written since `before`."""
    after = made.times(dataset)
    return {
        name for name in after if name.endswith(".tfrecord") and after[name] != before.get(name)
    }


def variants(shard: int) -> set[str]:
    return {f"train/variant-0{v}/images-0000{shard}-of-00004.tfrecord" for v in range(3)}


def test_a_finished_build_does_nothing(dataset, rebuild):
    before = made.times(dataset)
    summary = rebuild()
    assert (summary["shards_written"], summary["shards_reused"]) == (0, ALL)
    assert "nothing to do" in summary["said"]
    assert made.times(dataset) == before


def delete_a_shard(dataset: Path) -> None:
    (dataset / SHARD).unlink()


def plant_half_a_shard(dataset: Path) -> None:
    content = (dataset / SHARD).read_bytes()
    (dataset / SHARD).write_bytes(content[: len(content) // 2])


def delete_an_index(dataset: Path) -> None:
    (dataset / SHARD.replace(".tfrecord", ".index")).unlink()


def damage_a_marker(dataset: Path) -> None:
    (dataset / ".build" / "done" / "train-images-00002.json").write_text('{"fingerprint": ')


def empty_a_marker(dataset: Path) -> None:
    (dataset / ".build" / "done" / "train-images-00002.json").write_text("[]")


def delete_a_marker(dataset: Path) -> None:
    (dataset / ".build" / "done" / "train-images-00002.json").unlink()


@pytest.mark.parametrize(
    "harm",
    [
        delete_a_shard,
        plant_half_a_shard,
        delete_an_index,
        damage_a_marker,
        empty_a_marker,
        delete_a_marker,
    ],
)
def test_only_the_harmed_shard_is_built_again(dataset, faces_dataset, rebuild, harm):
    before = made.times(dataset)
    harm(dataset)
    summary = rebuild()
    pictures = len(reading.read_index(str(dataset), SHARD))
    assert f"1 of 10 shards: {pictures} pictures, {3 * pictures} variants" in summary["said"]
    assert (summary["shards_written"], summary["shards_reused"]) == (3, ALL - 3)
    assert touched(dataset, before) == variants(2)
    assert made.files(dataset) == made.files(faces_dataset)


def test_without_its_manifest_a_finished_set_of_shards_is_published_again(
    dataset, faces_dataset, rebuild
):
    (dataset / "dataset.json").unlink()
    before = made.times(dataset)
    assert rebuild()["shards_written"] == 0
    assert touched(dataset, before) == set()
    assert made.files(dataset) == made.files(faces_dataset)


def test_torn_temporary_files_are_removed(dataset, faces_dataset, rebuild):
    (dataset / f"{SHARD}.tmp-0123abcd").write_bytes(b"half")
    delete_a_marker(dataset)
    rebuild()
    assert made.files(dataset) == made.files(faces_dataset)


def test_a_changed_picture_rebuilds_its_own_shard_only(tmp_path):
    flags = made.triplet_set(tmp_path)
    out = tmp_path / "out"
    same = {**flags, "variants": 3, "shards": 4}
    made.built("fec", out, **same)
    before = made.times(out)
    made.save(flags["images"] / "f003.jpg", 99)
    summary = made.built("fec", out, **same)
    changed = touched(out, before)
    assert (summary["shards_written"], len(changed)) == (3, 3)
    assert len({name.split("/")[-1] for name in changed}) == 1
    assert summary["digest"] == made.built("fec", tmp_path / "fresh", **same)["digest"]


def test_a_picture_refused_later_rebuilds_the_triplets_that_name_it(tmp_path):
    flags = made.triplet_set(tmp_path)
    out = tmp_path / "out"
    same = {**flags, "shards": 4, "max_bad_fraction": 0.5}
    made.built("fec", out, **same)
    before = made.times(out)
    (flags["images"] / "f003.jpg").write_bytes(b"")
    summary = made.built("fec", out, **same)
    assert {name.split("/")[-1].split("-")[0] for name in touched(out, before)} == {
        "images",
        "triplets",
    }
    assert summary["triplets"] == 26 - 3
    made.built("fec", tmp_path / "fresh", **same)
    assert made.files(out) == made.files(tmp_path / "fresh")


def test_another_table_leaves_the_picture_shards(dataset, rebuild, faces, tmp_path):
    rows = faces["csv"].read_text().splitlines()
    other = made.write_table(tmp_path / "labels.csv", [*rows, rows[1]])
    before = made.times(dataset)
    summary = rebuild(csv=other)
    assert summary["triplets"] == 27
    assert touched(dataset, before) == {"train/triplets-00000-of-00001.tfrecord"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 1}, "seed '0' -> '1'"),
        ({"variants": 2}, "variants '3' -> '2'"),
        ({"encoding": "jpeg"}, "encoding 'png' -> 'jpeg'"),
        ({"recipe": "photos"}, "recipe .changed text..*set the old ones .--recipe=.*recipe.yaml."),
        ({"shards": 2}, "shards '4' -> '2'"),
    ],
)
def test_a_changed_option_is_refused_and_named(dataset, rebuild, change, said):
    before = made.times(dataset)
    with pytest.raises(ConfigError, match=said):
        rebuild(**change)
    assert made.times(dataset) == before


def test_with_overwrite_it_is_built_anew_and_nothing_old_stays(dataset, rebuild, faces, tmp_path):
    summary = rebuild(variants=1, shards=2, overwrite=True)
    assert summary["shards_reused"] == 0
    same = {**faces, "variants": 1, "shards": 2, "encoding": "png"}
    made.built("fec", tmp_path / "fresh", **same)
    assert made.files(dataset) == made.files(tmp_path / "fresh")
    assert not (dataset / "train" / "variant-02").exists()


def test_a_dataset_that_does_not_know_its_options_is_not_built_over(dataset, rebuild):
    (dataset / ".build" / "options.json").unlink()
    before = made.files(dataset)
    with pytest.raises(ConfigError, match="no record of its options"):
        rebuild()
    assert made.files(dataset) == before
    assert rebuild(overwrite=True)["shards_reused"] == 0
    assert made.files(dataset) == before


def test_a_second_build_at_the_same_time_is_refused(dataset, rebuild):
    with (
        Workspace(str(dataset)).locked(),
        pytest.raises(UsageError, match="another build is writing"),
    ):
        rebuild()
    assert rebuild()["shards_written"] == 0


class Fault:
    """A write that fails the `at`-th time, once."""

    def __init__(self, at: int, error: Exception) -> None:
        self.left, self.error, self.lock = at, error, threading.Lock()
        self.write = shards.RecordWriter.write

    def __call__(self, writer: shards.RecordWriter, key: int, payload: bytes) -> None:
        with self.lock:
            self.left -= 1
        if self.left == 0:
            raise self.error
        self.write(writer, key, payload)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("at", [1, 30])
def test_after_a_worker_failed_no_half_file_is_there_and_the_build_goes_on(
    faces, faces_dataset, tmp_path, monkeypatch, workers, at
):
    out = tmp_path / "out"
    same = {**faces, "variants": 3, "shards": 4, "encoding": "png", "workers": workers}
    fault = Fault(at, ValueError("broken"))
    with monkeypatch.context() as patch:
        patch.setattr(shards.RecordWriter, "write", lambda *arguments: fault(*arguments))
        with pytest.raises(Exception, match="broken"):
            made.built("fec", out, **same)
    assert not (out / "dataset.json").exists()
    assert not list(out.rglob("*.tmp-*"))
    done = made.times(out)
    summary = made.built("fec", out, **same)
    assert summary["shards_written"] + summary["shards_reused"] == ALL
    assert summary["shards_written"] == len(touched(out, done))
    assert made.files(out) == made.files(faces_dataset)


def test_markers_are_withdrawn_before_their_files_change(dataset, rebuild, monkeypatch):
    """Else a build stopped among the variants of a shard would leave new and old ones under a
    marker that holds.
    """
    (dataset / SHARD).unlink()
    fault = Fault(1, ValueError("broken"))
    with monkeypatch.context() as patch:
        patch.setattr(shards.RecordWriter, "write", lambda *arguments: fault(*arguments))
        with pytest.raises(Exception, match="broken"):
            rebuild()
    assert not (dataset / ".build" / "done" / "train-images-00002.json").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_is_said_in_one_line_and_costs_nothing(
    faces, faces_dataset, tmp_path, monkeypatch, workers
):
    out = tmp_path / "out"
    same = {**faces, "variants": 3, "shards": 4, "encoding": "png", "workers": workers}
    fault = Fault(20, OSError(28, "No space left on device"))
    with monkeypatch.context() as patch:
        patch.setattr(shards.RecordWriter, "write", lambda *arguments: fault(*arguments))
        with pytest.raises(OutputError, match=r"no space left on device: '.*/out'") as caught:
            made.built("fec", out, **same)
    assert "\n" not in str(caught.value)
    made.built("fec", out, **same)
    assert made.files(out) == made.files(faces_dataset)


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_disk_that_is_really_full(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", disk], check=False
    )
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        flags = made.triplet_set(tmp_path)
        arguments = [f"--{name}={path}" for name, path in flags.items()]
        done = made.run("build", "--source=fec", f"--output={disk}/out", "--shards=8", *arguments)
        names = [path.name for path in (disk / "out").rglob("*")]
    finally:
        subprocess.run(["umount", disk], check=True)
    assert done.returncode == os.EX_IOERR
    last = done.stderr.splitlines()[-1]
    assert last.startswith("preprocess build: no space left on device")
    assert "Traceback" not in done.stderr
    assert "dataset.json" not in names


@pytest.mark.slow
def test_killed_again_and_again_it_comes_to_the_same_end(tmp_path):
    """The benchmark's ten kills of 50,000 variants, in small."""
    report = bench_build.kill(tmp_path, pictures=240, kills=3)
    assert report["kills"] == 3
    assert report["digest_equal"]
    assert (report["rewritten"], report["torn_files"]) == (0, 0)


@pytest.mark.slow
def test_after_ctrl_c_it_goes_on(tmp_path):
    """Ctrl-C ends with 130 and a line; Beam's native threads must not make it an abort."""
    # Seconds of work, also where this process is given no time for one or two of them.
    flags = made.triplet_set(tmp_path, train=400, test=6)
    out = tmp_path / "out"
    arguments = ["build", "--source=fec", f"--output={out}", "--variants=20", "--shards=24"]
    arguments += [f"--{name}={path}" for name, path in flags.items()]
    build = forked.Popen(made.command(*arguments), env=made.environment(), stderr=subprocess.PIPE)
    done = out / ".build" / "done"
    try:
        while build.poll() is None and not (done.is_dir() and len(list(done.glob("*.json"))) >= 3):
            time.sleep(0.005)
    finally:
        build.send_signal(signal.SIGINT)
        said = build.communicate()[1]
    assert build.returncode == 130
    assert "stopped by SIGINT; finished work is kept" in said
    finished = len(list(done.glob("*.json")))
    assert 3 <= finished < 24, "it was not in the middle"
    assert not (out / "dataset.json").exists()
    again = made.run(*arguments, "--json")
    assert again.returncode == 0, again.stderr
    assert "resuming:" in again.stderr
    whole = made.built("fec", tmp_path / "whole", **flags, variants=20, shards=24)
    assert made.manifest(out).digest == whole["digest"]
    assert not list(out.rglob("*.tmp-*"))


def test_a_dataset_of_wholly_other_pictures_is_not_replaced_unasked(tmp_path, dataset, rebuild):
    """A mistyped --output is more likely than the wish to throw a dataset away."""
    before = (dataset / "dataset.json").read_bytes()
    other = made.triplet_set(tmp_path / "other")
    for picture in other["images"].iterdir():
        picture.rename(picture.with_name(f"g{picture.name}"))
    table = other["csv"].read_text().splitlines()
    renamed = [",".join(f"g{c}" if c[0] == "f" else c for c in r.split(",")) for r in table[1:]]
    made.write_table(other["csv"], [table[0], *renamed])
    with pytest.raises(ConfigError, match="30 other pictures"):
        rebuild(**other)
    assert (dataset / "dataset.json").read_bytes() == before
    rebuild(**other, overwrite=True)
    assert (dataset / "dataset.json").read_bytes() != before


def test_other_splits_of_the_same_pictures_are_no_change_of_the_input(tmp_path):
    halves = parse_splits("train:0.5,test:0.5")
    images = made.class_folders(tmp_path / "in")
    made.built("folders", tmp_path / "out", images=images / "train")
    again = made.built("folders", tmp_path / "out", images=images / "train", splits=halves)
    assert "from the same pictures with other splits" in again["said"]
    made.save(images / "train" / "cat" / "new.jpg", 77)
    grown = made.built("folders", tmp_path / "out", images=images / "train", splits=halves)
    assert "1 pictures are new, 0 are gone" in grown["said"]
