"""How far a build is: notes, markers, Beam's counters, and where the time went."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import struct
import subprocess
import termios
import threading
import time

import apache_beam as beam
import numpy as np
import pytest
from tqdm import tqdm

from preprocess.augment import Recipe, variant_generator
from preprocess.augment import canvas as module
from preprocess.augment import stage_clock as stages
from preprocess.augment.stage_clock import Stopwatch
from preprocess.build import progress_bar
from preprocess.build.progress_bar import Watch, written
from preprocess.shards import shard_progress
from preprocess.shards.commit_marker import ShardReport
from preprocess.shards.shard_progress import Tally, noted
from preprocess.shards.workspace import Workspace
from preprocess.shell import progress as shell_progress
from preprocess.shell.errors import StorageError
from tests import forked
from tests.preprocess import made


@pytest.fixture
def workspace(dataset) -> Workspace:
    """Of the finished set of conftest: train in 3 variants over 4 shards."""
    return Workspace(str(dataset))


def reports(workspace: Workspace) -> dict[str, ShardReport]:
    names = [f"{split}-images-{n:05d}" for split in ("train", "test") for n in range(4)]
    found = {name: workspace.report(name) for name in names}
    return {name: report for name, report in found.items() if report is not None}


def test_what_was_written_is_what_the_manifest_says(workspace):
    """24 pictures in 3 variants and 6 in one."""
    tally = sum((written(r, None) for r in reports(workspace).values()), start=Tally())
    assert (tally.pictures, tally.variants, tally.refused) == (30, 24 * 3 + 6, 0)
    shards = [s for split in made.manifest(workspace.dataset).splits.values() for s in split.shards]
    assert tally.bytes == sum(shard.bytes for shard in shards if shard.kind == "images")


def test_variants_that_were_there_do_not_count(workspace):
    report = reports(workspace)["train-images-00001"]
    records = report.shards[0].records
    tally = written(report, report.first(2))
    assert (tally.pictures, tally.variants, tally.bytes) == (
        records,
        records,
        report.shards[2].bytes,
    )
    assert written(report, report) == Tally()


def test_it_moves_while_a_shard_is_built_and_counts_it_once_when_it_is_finished(
    workspace, monkeypatch
):
    report = reports(workspace)["train-images-00001"]
    workspace.withdraw_marker("train-images-00001")
    watch = Watch(workspace, {"train-images-00001": None})
    assert watch.look() == Tally()
    monkeypatch.setattr(shard_progress, "NOTE_SECONDS", 0.0)
    with noted(workspace, "train-images-00001") as advance:
        advance(Tally(1, 3, 100, 0))
        assert watch.look() == Tally(1, 3, 100, 0)
        advance(Tally(refused=1))
        assert watch.look() == Tally(1, 3, 100, 1)
        workspace.commit("train-images-00001", report)
    assert watch.look() == written(report, None)
    assert watch.look() == written(report, None)


def test_the_marker_of_older_variants_is_not_taken_for_a_finished_shard(workspace):
    name = "train-images-00001"
    whole = reports(workspace)[name]
    workspace.commit(name, whole.first(2))
    watch = Watch(workspace, {name: whole.first(2)})
    assert watch.look() == Tally()
    workspace.commit(name, whole)
    assert watch.look().variants == whole.shards[2].records


def test_a_note_that_is_half_written_is_passed_over(workspace):
    workspace.withdraw_marker("train-images-00001")
    watch = Watch(workspace, {"train-images-00001": None})
    workspace.note("train-images-00001", "12 3")
    assert watch.look() == Tally(12, 3)
    workspace.note("train-images-00001", "12 x")
    assert watch.look() == Tally()


def test_a_storage_that_cannot_be_asked_stops_neither_bar_nor_build(workspace, monkeypatch):
    answers: list[object] = [StorageError("down"), Tally(1, 3), StorageError("down")]
    shown = io.StringIO()
    asked = threading.Event()

    def look() -> Tally:
        answer = answers.pop(0) if answers else Tally(2, 6)
        if not answers:
            asked.set()
        if isinstance(answer, Exception):
            raise answer
        return answer

    watch = Watch(workspace, {})
    monkeypatch.setattr(watch, "look", look)
    monkeypatch.setattr(watch, "pause", 0.01)
    monkeypatch.setattr(progress_bar, "on_terminal", lambda: True)
    monkeypatch.setattr(
        progress_bar, "progress", lambda total, *_: tqdm(total=total, file=shown, disable=False)
    )
    with progress_bar.bar(watch, 2, 6):
        assert asked.wait(30)
    assert "6/6" in shown.getvalue()


def test_a_log_gets_a_line_now_and_then_with_what_is_done_left_and_refused(
    workspace, monkeypatch, capsys
):
    looked = threading.Event()

    def look() -> Tally:
        looked.set()
        return Tally(pictures=3, variants=9, bytes=1000, refused=1)

    watch = Watch(workspace, {})
    monkeypatch.setattr(watch, "look", look)
    for module_of_seconds in (progress_bar, shell_progress):
        monkeypatch.setattr(module_of_seconds, "LOG_SECONDS", 0.01)
    with progress_bar.bar(watch, 10, 30):
        assert looked.wait(30)
    line = capsys.readouterr().err.splitlines()[0]
    # Three variants of the refused one are done with too.
    assert line.startswith("building: 12 of 30 (40 %), ")
    assert " variants/s, " in line and " left, " in line and line.endswith(" 1 refused")


def test_no_notes_stay_behind(dataset):
    assert not list(dataset.glob(".build/progress/*"))


def test_beam_counts_the_same(faces, tmp_path, monkeypatch):
    """24 + 6 pictures, one of them refused, in 3 and 1 variants."""
    results = []
    run = beam.Pipeline.run
    monkeypatch.setattr(beam.Pipeline, "run", lambda p: results.append(run(p)) or results[-1])
    images = tmp_path / "images"
    images.mkdir()
    for picture in faces["images"].iterdir():
        os.link(picture, images / picture.name)
    (images / "f003.jpg").unlink()
    (images / "f003.jpg").write_bytes(b"no picture")
    flags = {**faces, "images": images, "max_bad_fraction": 0.5}
    made.built("fec", tmp_path / "out", **flags, variants=3, shards=2)
    (result,) = results
    counters = {
        counter.key.metric.name: counter.committed
        for counter in result.metrics().query()["counters"]
        if counter.key.metric.namespace == "shardline"
    }
    shards = [s for p in made.manifest(tmp_path / "out").splits.values() for s in p.shards]
    assert counters == {
        "pictures": 29,
        "variants": 23 * 3 + 6,
        "bytes": sum(shard.bytes for shard in shards if shard.kind == "images"),
        "refused": 1,
    }


@pytest.mark.slow
def test_a_build_of_one_shard_shows_movement_on_a_terminal(tmp_path):
    """The bar is read from a terminal of 120 columns; figures between nothing and all appear."""
    flags = made.triplet_set(tmp_path, train=60, test=3)
    arguments = [f"--{name}={path}" for name, path in flags.items()]
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    build = forked.Popen(
        made.command(
            "build", "--source=fec", f"--output={tmp_path}/out", "--variants=100", "--shards=1",
            *arguments,
        ),
        env=made.environment(), stderr=theirs, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(theirs)
    said = b""
    while True:
        try:
            said += os.read(ours, 65536)
        except OSError:  # the other side was closed
            break
    assert build.wait() == 0
    bars = [bar for bar in said.decode().split("\r") if "pictures/s" in bar]
    counts = [int(bar.split("/6003")[0].split()[-1]) for bar in bars if "/6003" in bar]
    assert counts == sorted(counts)
    assert counts[-1] == 6003  # 60 * 100 + 3
    assert any(3 < count < 6003 for count in counts)
    assert "MB/s" in bars[-1] and "refused" in bars[-1]


# --- where the time goes


def test_laps_add_up_to_the_time_that_passed():
    started = time.perf_counter()
    watch = Stopwatch()
    for name in ("read", "affine", "read"):
        time.sleep(0.01)
        watch.lap(name)
    passed = time.perf_counter() - started
    assert set(watch.seconds) == {"read", "affine"}
    assert 0.03 <= sum(watch.seconds.values()) <= passed
    assert watch.seconds["read"] >= 0.02


def test_operations_are_summed_up_to_augmenting():
    seconds = {"read": 1.0, "affine": 2.0, "draw": 0.5, "cutout": 3.0, "encode": 4.0}
    found = stages.by_stage(seconds)
    assert list(found) == list(stages.STAGES)
    assert (found["augment"], found["read"], found["sync"]) == (5.5, 1.0, 0.0)
    assert sum(found.values()) == sum(seconds.values())
    assert list(stages.by_operation(seconds)) == ["cutout", "affine", "draw"]
    assert stages.by_stage({}) == {}


def test_work_that_waits_counts_for_the_operation_that_asked_for_it(monkeypatch):
    """The warp of `affine` is done when the blur asks for pixels, the table of the colours at the
    end: with sleeping resamplers each shows in its own operation.
    """
    recipe = Recipe.from_yaml(
        "version: 1\noperations:\n"
        "  - affine: {probability: 1, rotate_degrees: [10, 20]}\n"
        "  - gaussian_blur: {probability: 1, sigma_pixels: [1, 1]}\n"
        "  - brightness_contrast_gamma: {probability: 1, brightness: [1.1, 1.2]}\n"
    )
    real = module.cv2

    class Slow:
        def __getattr__(self, name):
            found = getattr(real, name)
            if name not in ("warpAffine", "LUT"):
                return found

            def slowly(*arguments, **options):
                time.sleep({"warpAffine": 0.05, "LUT": 0.1}[name])
                return found(*arguments, **options)

            return slowly

    monkeypatch.setattr(module, "cv2", Slow())
    image = np.full((20, 20, 3), 100, np.uint8)
    drawn = recipe.draw(variant_generator(0, "", "a", 1), 20, 20)
    begun = time.perf_counter()
    watch = Stopwatch()
    recipe.apply(image, drawn, watch)
    took = time.perf_counter() - begun
    assert watch.seconds["affine"] >= 0.05
    assert watch.seconds["brightness_contrast_gamma"] >= 0.1
    assert watch.seconds["gaussian_blur"] > 0
    assert sum(watch.seconds.values()) <= took  # and in no other one as well


def test_every_marker_says_where_its_time_went(workspace):
    for report in reports(workspace).values():
        spent = stages.by_stage(report.seconds)
        assert spent["write"] > 0 and spent["sync"] > 0
        if report.shards[0].records:
            assert min(spent["read"], spent["decode"]) > 0
        if report.shards[0].file.startswith("train"):
            assert "affine" in stages.by_operation(report.seconds)


def test_a_build_ends_with_its_rates_and_stages_and_with_none_when_there_was_nothing_to_do(
    faces, tmp_path
):
    flags = {**faces, "variants": 3, "shards": 2}
    summary = made.built("fec", tmp_path / "out", **flags)
    seconds = summary["building_seconds"]
    assert 0 < seconds <= summary["seconds"]
    assert summary["pictures_per_second"] == pytest.approx(30 / seconds, rel=0.02)
    assert summary["variants_per_second"] == pytest.approx(78 / seconds, rel=0.02)
    assert set(summary["seconds_by_stage"]) == set(stages.STAGES)
    operations = sum(summary["seconds_by_operation"].values())
    assert summary["seconds_by_stage"]["augment"] == pytest.approx(operations, abs=0.02)
    assert 0 < sum(summary["seconds_by_stage"].values()) <= seconds * 2
    again = made.built("fec", tmp_path / "out", **flags)
    assert (again["pictures_per_second"], again["seconds_by_stage"]) == (0, {})


def test_the_end_of_a_build_in_words(faces, tmp_path):
    flags = [f"--{name}={path}" for name, path in faces.items()]
    done = made.run("build", "--source=fec", f"--output={tmp_path}/out", "--variants=3", *flags)
    assert done.returncode == 0, done.stderr
    for word in ("pictures/s", "variants/s", "MB/s", "where the workers' time went", "  affine"):
        assert word in done.stdout
    assert done.stdout.splitlines()[-1] == f"{tmp_path}/out"
    plan = made.run("plan", "--source=fec", f"--output={tmp_path}/new", "--json", *flags)
    found = json.loads(plan.stdout)
    assert found["seconds_by_stage"]["decode"] > 0
    assert "affine" in found["seconds_by_operation"]
