"""The same input elsewhere or with other times is reused; other content never is."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil

import pytest

from preprocess.shards.workspace import Workspace
from tests.preprocess import made

SAME_TIME = 315532800  # 1980-01-01, as reproducible archives have it


@pytest.fixture
def images(tmp_path):
    return made.class_folders(tmp_path / "in")


def build(images, out, **changes):
    return made.built("folders", out, images=images, variants=2, **changes)


def set_times(folder, seconds):
    for number, path in enumerate(sorted(folder.rglob("*.*"))):
        os.utime(path, (0, seconds(number)))


def pictures(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def replace_first(folder):
    """Another picture of the same size in bytes, under the same time."""
    first = pictures(folder)[0]
    status = first.stat()
    data = bytearray(first.read_bytes())
    data[-40] ^= 1
    first.write_bytes(data)
    os.utime(first, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_moved_pictures_are_not_built_again(images, tmp_path):
    digest = build(images, tmp_path / "out")["digest"]
    moved = tmp_path / "another mount" / "é"
    moved.parent.mkdir()
    images.rename(moved)
    summary = build(moved, tmp_path / "out")
    assert (summary["shards_written"], summary["digest"]) == (0, digest)
    assert "nothing to do" in summary["said"]


def test_a_moved_table_and_its_faces_are_not_built_again(tmp_path):
    flags = made.triplet_set(tmp_path / "a")
    made.built("fec", tmp_path / "out", **flags)
    (tmp_path / "a").rename(tmp_path / "b")
    there = {
        name: tmp_path / "b" / path.relative_to(tmp_path / "a") for name, path in flags.items()
    }
    assert made.built("fec", tmp_path / "out", **there)["shards_written"] == 0


def test_a_build_that_was_stopped_continues_on_another_mount(images, tmp_path):
    out = tmp_path / "out"
    build(images, out)
    markers = sorted((out / ".build" / "done").iterdir())
    markers[0].unlink()
    (out / "dataset.json").unlink()
    images.rename(tmp_path / "scratch")
    summary = build(tmp_path / "scratch", out)
    assert 0 < summary["shards_written"] < summary["shards_written"] + summary["shards_reused"]


def test_a_copy_with_other_times_is_known_by_its_content(images, tmp_path):
    digest = build(images, tmp_path / "out")["digest"]
    shutil.copytree(images, tmp_path / "copy", copy_function=shutil.copyfile)
    set_times(tmp_path / "copy", lambda number: 1_000_000 + number)
    summary = build(tmp_path / "copy", tmp_path / "out")
    assert (summary["shards_written"], summary["digest"]) == (0, digest)
    assert "comparing content" in summary["said"]
    # From now on it is known by the new times.
    assert "comparing content" not in build(tmp_path / "copy", tmp_path / "out")["said"]


def test_other_content_under_another_time_is_built_again(images, tmp_path):
    build(images, tmp_path / "out")
    set_times(images, lambda number: 1_000_000 + number)
    replace_first(images)
    summary = build(images, tmp_path / "out")
    assert summary["shards_written"] > 0
    assert summary["digest"] == build(images, tmp_path / "fresh")["digest"]


def test_where_all_times_are_one_content_decides(images, tmp_path):
    set_times(images, lambda number: SAME_TIME)
    digest = build(images, tmp_path / "out")["digest"]
    assert build(images, tmp_path / "out")["shards_written"] == 0
    replace_first(images)
    summary = build(images, tmp_path / "out")
    assert summary["shards_written"] > 0 and summary["digest"] != digest


def test_with_overwrite_a_change_without_a_trace_is_built(images, tmp_path):
    set_times(images, lambda number: 1_000_000 + number)
    digest = build(images, tmp_path / "out")["digest"]
    replace_first(images)
    assert build(images, tmp_path / "out")["digest"] == digest  # nothing tells
    assert build(images, tmp_path / "out", overwrite=True)["digest"] != digest


def test_an_overwriting_build_that_was_stopped_continues_and_the_next_begins_anew(
    images, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    build(images, out)
    monkeypatch.setattr("preprocess.build.builder.publish", stop)
    with pytest.raises(KeyboardInterrupt):
        build(images, out, overwrite=True)
    assert Workspace(str(out)).is_overwriting
    monkeypatch.undo()
    assert build(images, out, overwrite=True)["shards_written"] == 0
    assert not Workspace(str(out)).is_overwriting
    assert build(images, out, overwrite=True)["shards_reused"] == 0


def stop(*arguments):
    raise KeyboardInterrupt


def test_markers_of_earlier_versions_hold_where_the_input_did_not_move(images, tmp_path):
    """They have the fingerprint with absolute paths and neither of the hashes."""
    out = tmp_path / "out"
    digest = build(images, out)["digest"]
    workspace = Workspace(str(out))
    options = workspace.options()
    for marker in (out / ".build" / "done").iterdir():
        plan = dataclasses.replace(workspace.shard_plan(marker.stem), root="")
        fields = json.loads(marker.read_text())
        assert fields["fingerprint"] != plan.fingerprint(options)
        fields["fingerprint"] = plan.fingerprint(options)
        del fields["untimed"], fields["content"]
        marker.write_text(json.dumps(fields))
    summary = build(images, out)
    assert (summary["shards_written"], summary["digest"]) == (0, digest)
