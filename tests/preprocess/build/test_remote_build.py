"""Builds from and to an object store: the same bytes as on a disk, killed or not."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from preprocess import storage
from preprocess.examine.dataset_diff import diff
from preprocess.examine.verify import verify
from preprocess.shards.workspace import Workspace
from preprocess.shell.errors import DataError, StorageError, UsageError
from preprocess.sources import read_source
from preprocess.sources.folder import open_folder
from preprocess.sources.refusals import Refused
from preprocess.sources.rows import Request
from preprocess.storage import gcs_connection, lease
from tests import forked
from tests.preprocess import made

SAME = {"variants": 3, "shards": 4, "encoding": "png"}
SHARD = "train/variant-01/images-00002-of-00004.tfrecord"


def put(folder: Path, remote: str) -> str:
    """Uploads all files below a folder."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            storage.write_bytes(f"{remote}/{path.relative_to(folder)}", path.read_bytes())
    return remote


def published(cloud, dataset: str) -> dict[str, bytes]:
    objects = cloud.objects(dataset)
    return {name: data for name, data in objects.items() if not name.startswith(".build/")}


@pytest.fixture
def remote_faces(faces, bucket) -> dict[str, str]:
    """`faces` on the object store."""
    put(faces["images"], f"{bucket}/faces")
    storage.write_bytes(f"{bucket}/labels.csv", faces["csv"].read_bytes())
    return {"csv": f"{bucket}/labels.csv", "images": f"{bucket}/faces"}


def test_from_gs_to_gs_the_shards_are_those_of_a_local_build(
    cloud, bucket, remote_faces, faces_dataset
):
    summary = made.built("fec", f"{bucket}/out", **remote_faces, **SAME)
    assert summary["digest"] == made.manifest(faces_dataset).digest
    ours, local = published(cloud, f"{bucket}/out"), made.files(faces_dataset)
    assert ours.keys() == local.keys()
    assert [name for name in local if ours[name] != local[name]] == ["dataset.json"]
    # The manifests differ in what tells the inputs apart: paths and times.
    assert set(diff(f"{bucket}/out", str(faces_dataset))) == {"fingerprint"}
    assert not storage.exists(f"{bucket}/out/.build/lock")


def test_a_finished_build_does_nothing_and_a_changed_picture_its_own_shard(
    cloud, bucket, faces, remote_faces
):
    out = f"{bucket}/out"
    made.built("fec", out, **remote_faces, **SAME)
    name = bucket.removeprefix("gs://")
    before = cloud.generations(name)
    again = made.built("fec", out, **remote_faces, **SAME)
    assert again["shards_written"] == 0 and "nothing to do" in again["said"]
    shards = {k for k in before if k.endswith(".tfrecord")}
    assert all(cloud.generations(name)[k] == before[k] for k in shards)
    storage.write_bytes(f"{bucket}/faces/f003.jpg", (faces["images"] / "f004.jpg").read_bytes())
    assert made.built("fec", out, **remote_faces, **SAME)["shards_written"] == 3
    after = cloud.generations(name)
    assert len({k for k in shards if after[k] != before[k]}) == 3


def test_variants_are_added_without_touching_those_that_are_there(
    cloud, bucket, remote_faces, faces_dataset
):
    out = f"{bucket}/out"
    made.built("fec", out, **remote_faces, **{**SAME, "variants": 1})
    name = bucket.removeprefix("gs://")
    before = {k: v for k, v in cloud.generations(name).items() if k.endswith(".tfrecord")}
    grown = made.built("fec", out, **remote_faces, **SAME)
    assert grown["digest"] == made.manifest(faces_dataset).digest
    assert {k: cloud.generations(name)[k] for k in before} == before
    assert not [k for k in cloud.objects(out) if k.startswith(".build/progress")]


def test_class_folders_by_a_limit_are_the_same_on_both_sides(tmp_path, bucket):
    """Which pictures a limit takes depends on the order of the walk: files, then folders."""
    images = made.class_folders(tmp_path / "in", names=("кот", "dog"), count=4)
    made.save(images / "train" / "dog" / "a" / "deep.jpg", 50)
    made.save(images / "train" / "dog" / "zz.jpg", 51)
    made.save(images / "train" / "dog" / ".hidden" / "x.jpg", 52)
    made.save(images / "beside.jpg", 53)
    remote = put(images, f"{bucket}/in")
    for limit in (0, 5, 11):
        here, there = (
            read_source("folders", Request(images=str(path), limit=limit))
            for path in (images, remote)
        )
        assert [p._replace(path="") for p in there.pictures] == [
            p._replace(path="") for p in here.pictures
        ]
        assert (there.classes, there.warnings) == (here.classes, here.warnings)
    local = made.built("folders", tmp_path / "out", images=images, variants=2)
    assert (
        made.built("folders", f"{bucket}/out", images=remote, variants=2)["digest"]
        == (local["digest"])
    )
    assert storage.read_text(f"{bucket}/out/labels.txt") == "dog\nкот\n"


def test_an_output_among_the_classes_is_refused(tmp_path, bucket):
    remote = put(made.class_folders(tmp_path / "in", count=1), f"{bucket}/in")
    for output in (f"{bucket}/in", f"{bucket}/in/out"):
        with pytest.raises(UsageError, match="is inside --images"):
            made.built("folders", output, images=remote)
    assert "digest" in made.built("folders", f"{bucket}/in2", images=remote)


def test_a_prefix_with_other_things_in_it_is_refused(bucket, remote_faces):
    with pytest.raises(UsageError, match="is not empty and not a dataset directory"):
        made.built("fec", bucket, **remote_faces)


def test_idx_files_gzipped_or_not(tmp_path, bucket):
    digits = np.random.default_rng(0).integers(0, 256, (6, 8, 8), dtype=np.uint8)
    (tmp_path / "in").mkdir()
    made.write_idx(tmp_path / "in" / "train-images-idx3-ubyte", digits)
    made.write_idx(tmp_path / "in" / "train-labels-idx1-ubyte", np.arange(6))
    subprocess.run(["gzip", tmp_path / "in" / "train-images-idx3-ubyte"], check=True)
    remote = put(tmp_path / "in", f"{bucket}/in")
    here = made.built("idx", tmp_path / "out", images=tmp_path / "in")
    assert made.built("idx", f"{bucket}/out", images=remote)["digest"] == here["digest"]


# --- names


@pytest.mark.parametrize(
    "name", ["sub/in.jpg", "sub/../sub/in.jpg", "./sub//in.jpg", "{}/sub/in.jpg"]
)
def test_names_that_stay_inside_are_found(bucket, name):
    storage.write_bytes(f"{bucket}/root/sub/in.jpg", b"x")
    root = open_folder(f"{bucket}/root", "--images")
    assert root.inside(name.format(f"{bucket}/root")) == f"{bucket}/root/sub/in.jpg"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../outside.jpg", "outside_folder"),
        ("sub/../../outside.jpg", "outside_folder"),
        ("..", "outside_folder"),
        ("/etc/passwd", "outside_folder"),
        ("{}/outside.jpg", "outside_folder"),
        ("{}/root-too/a.jpg", "outside_folder"),
        ("gs://another-bucket/a.jpg", "outside_folder"),
        ("gone.jpg", "missing_picture"),
        ("sub", "missing_picture"),
        ("sub/in.jpg/x", "missing_picture"),
        ("a\0b", "bad_id"),
    ],
)
def test_other_names_are_refused(bucket, name, reason):
    for path in ("outside.jpg", "root-too/a.jpg", "root/sub/in.jpg"):
        storage.write_bytes(f"{bucket}/{path}", b"x")
    root = open_folder(f"{bucket}/root", "--images")
    with pytest.raises(Refused) as caught:
        root.inside(name.format(bucket))
    assert caught.value.reason == reason


def test_a_table_of_hostile_paths_costs_those_rows(tmp_path, bucket):
    storage.write_bytes(f"{bucket}/secret.jpg", b"x")
    made.save(tmp_path / "a.jpg")
    storage.write_bytes(f"{bucket}/in/a.jpg", (tmp_path / "a.jpg").read_bytes())
    storage.write_bytes(f"{bucket}/in/empty.jpg", b"")
    rows = ["a.jpg,x", "../secret.jpg,x", f"{bucket}/secret.jpg,x", "empty.jpg,x", "gone.jpg,x"]
    storage.write_text(f"{bucket}/in/t.csv", "\n".join(["path,label", *rows, ""]))
    made.built("csv", f"{bucket}/out", csv=f"{bucket}/in/t.csv", max_bad_fraction=1.0)
    text = storage.read_text(f"{bucket}/out/rejected.jsonl")
    assert [text.count(f'"{r}"') for r in ("outside_folder", "empty_file", "missing_picture")] == [
        2,
        1,
        1,
    ]


def test_a_prefix_with_nothing_below_does_not_exist(bucket):
    with pytest.raises(DataError, match="does not exist"):
        open_folder(f"{bucket}/nothing", "--images")


# --- what goes wrong


def test_a_second_build_is_refused_while_the_first_one_lives(bucket, remote_faces, monkeypatch):
    monkeypatch.setattr(lease, "HEARTBEAT_SECONDS", 0.2)
    monkeypatch.setattr(lease, "WATCH_SECONDS", 0.04)
    with (
        Workspace(f"{bucket}/out").locked(),
        pytest.raises(UsageError, match=r"another build is writing .*\(a build on .*rm gs:"),
    ):
        made.built("fec", f"{bucket}/out", **remote_faces)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_outage_ends_the_build_with_words_and_refuses_no_picture(
    cloud, bucket, remote_faces, faces_dataset, monkeypatch, workers
):
    """The storage goes away when a worker reads its fifth picture."""
    out, pictures = f"{bucket}/out", []
    monkeypatch.setattr(gcs_connection, "RETRY_SECONDS", 0.3)

    def fault(_: str, path: str) -> tuple[int, str] | None:
        pictures.extend([path] if "alt=media" in path and ".jpg" in path else [])
        return (503, "all is down") if len(pictures) > 4 else None

    with monkeypatch.context() as patch:
        patch.setattr(cloud, "fault", fault)
        with pytest.raises(StorageError, match="cannot be reached: all is down"):
            made.built("fec", out, **remote_faces, **SAME, workers=workers)
    assert not storage.exists(f"{out}/dataset.json")
    storage.remove(f"{out}/.build/lock")  # the outage kept it from being given back
    summary = made.built("fec", out, **remote_faces, **SAME)
    assert summary["digest"] == made.manifest(faces_dataset).digest
    assert summary["rejected"]["count"] == 0


def test_verify_finds_what_is_damaged(cloud, pushed):
    out = pushed
    assert verify(out, True, lambda: None) == []
    content = bytearray(cloud.objects(out)[SHARD])
    content[len(content) // 2] ^= 1
    storage.write_bytes(f"{out}/{SHARD}", bytes(content))
    storage.remove(f"{out}/{SHARD.replace('00002', '00001')}")
    storage.write_bytes(f"{out}/train/variant-09/images-00000-of-00001.tfrecord", b"")
    assert {(p.file, p.problem) for p in verify(out, True, lambda: None)} == {
        (SHARD, "its sha256 is not the manifest's"),
        (SHARD.replace("00002", "00001"), "missing"),
        ("train/variant-09/images-00000-of-00001.tfrecord", "not in the manifest"),
    }


@pytest.mark.parametrize("arguments", [["info", "{}"], ["explain", "{}", "f001", "2"]])
def test_the_commands_that_read_do_so_over_gs(pushed, faces_dataset, arguments):
    there = made.run(*(argument.format(pushed) for argument in arguments))
    here = made.run(*(argument.format(faces_dataset) for argument in arguments))
    assert there.stdout == here.stdout != ""
    assert (there.returncode, there.stderr) == (0, "")


def test_a_preview_is_read_from_gs_and_written_there(pushed):
    done = made.run("preview", pushed, f"--output={pushed}.png")
    assert (done.returncode, done.stderr) == (0, "")
    assert storage.read_bytes(f"{pushed}.png").startswith(b"\x89PNG")


@pytest.mark.slow
def test_killed_over_and_over_it_goes_on_and_gives_the_same(
    cloud, bucket, remote_faces, faces_dataset
):
    """KILL leaves the lock behind; the next build sees that its process is gone."""
    out = f"{bucket}/out"
    flags = ["--variants=3", "--shards=4", "--encoding=png", f"--output={out}", "--workers=1"]
    flags += [f"--{name}={value}" for name, value in remote_faces.items()]
    name = bucket.removeprefix("gs://")
    written: dict[str, str] = {}
    for done in (1, 4):  # markers that there shall be when it is killed
        build = forked.Popen(
            made.command("build", "--source=fec", *flags),
            env=made.environment(),
            cwd=made.ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        deadline = time.monotonic() + 120
        while build.poll() is None and time.monotonic() < deadline:
            if sum("/.build/done/" in f"/{key}" for key in cloud.generations(name)) >= done:
                build.send_signal(signal.SIGKILL)
            time.sleep(0.002)
        build.communicate()
        assert build.returncode == -signal.SIGKILL
        assert storage.exists(f"{out}/.build/lock")
        assert not storage.exists(f"{out}/dataset.json")
        now = cloud.generations(name)
        reports = Workspace(out).reports([f"train-images-{n:05d}" for n in range(4)])
        finished = {f"out/{s.file}" for report in reports.values() for s in report.shards}
        assert {key: now[key] for key in written}.items() >= written.items()
        written = {key: now[key] for key in finished}
    last = made.run("build", "--source=fec", *flags)
    assert last.returncode == os.EX_OK, last.stderr
    assert "taking over from a build on " in last.stderr and "resuming: " in last.stderr
    assert {key: cloud.generations(name)[key] for key in written} == written
    ours, local = published(cloud, out), made.files(faces_dataset)
    assert {k: v for k, v in ours.items() if k != "dataset.json"} == {
        k: v for k, v in local.items() if k != "dataset.json"
    }
    assert made.run("verify", out, "--deep").stdout == "ok\n"
