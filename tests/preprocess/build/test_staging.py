"""fetch and push: whole or not at all, nothing twice, and the right word for what is wrong."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from pathlib import Path

import pytest

from preprocess import storage
from preprocess.build.staging import fetch, push
from preprocess.dataset_format import TFDS_FILES
from preprocess.examine.verify import verify
from preprocess.shell.errors import ConfigError, DataError, StorageError, UsageError
from preprocess.storage import gcs_connection
from tests.preprocess import made
from tests.preprocess.cloud import cutting

METADATA = ("dataset.json", *TFDS_FILES)  # written from the manifest, not copied
SHARD = "train/variant-01/images-00002-of-00004.tfrecord"


def media(requests: list[tuple[str, str]]) -> list[str]:
    """The objects that were read or written."""
    paths = [p for m, p in requests if "alt=media" in p or "/upload/" in p]
    return [p for p in paths if "dataset.json" not in p and "ifGenerationMatch" not in p]


def test_there_and_back_again(cloud, faces_dataset, pushed, tmp_path):
    assert cloud.objects(pushed) == made.files(faces_dataset)
    done = fetch(pushed, str(tmp_path / "copy"), False)
    copied = made.files(tmp_path / "copy")
    copied.pop(".fetch/lock")
    assert copied == made.files(faces_dataset)
    assert verify(str(tmp_path / "copy"), True, lambda: None) == []
    data = {name: content for name, content in copied.items() if name not in METADATA}
    assert done["bytes"] == done["bytes_copied"] == sum(map(len, data.values()))
    assert (done["files"], done["digest"]) == (len(data), made.manifest(faces_dataset).digest)


def test_what_is_there_is_not_copied_again(cloud, faces_dataset, pushed, tmp_path):
    copy = tmp_path / "copy"
    fetch(pushed, str(copy), False)
    before, requests = made.times(copy), len(cloud.requests)
    assert fetch(pushed, str(copy), False)["bytes_copied"] == 0
    assert push(str(faces_dataset), pushed, False)["bytes_copied"] == 0
    assert media(cloud.requests[requests:]) == []
    after = made.times(copy)
    assert {k for k in after if after[k] != before[k]} <= {".fetch/lock"}


def test_what_is_damaged_or_gone_is_copied_again(cloud, pushed, faces_dataset, tmp_path):
    copy = tmp_path / "copy"
    fetch(pushed, str(copy), False)
    index = SHARD.replace(".tfrecord", ".index")
    (copy / SHARD).write_bytes(bytes(len((copy / SHARD).read_bytes())))
    (copy / index).unlink()
    done = fetch(pushed, str(copy), False)
    expected = len((faces_dataset / SHARD).read_bytes()) + len((faces_dataset / index).read_bytes())
    assert done["bytes_copied"] == expected
    assert verify(str(copy), True, lambda: None) == []
    storage.write_bytes(f"{pushed}/{SHARD}", bytes(3))
    assert push(str(faces_dataset), pushed, False)["bytes_copied"] > 0
    assert cloud.objects(pushed) == made.files(faces_dataset)


def test_a_fetch_that_stopped_goes_on(cloud, pushed, faces_dataset, tmp_path, monkeypatch):
    """The storage is gone after ten files; then it is back."""
    monkeypatch.setattr(gcs_connection, "RETRY_SECONDS", 0.3)
    copy = tmp_path / "copy"
    seen: list[str] = []

    def fault(_: str, path: str) -> tuple[int, str] | None:
        if "alt=media" not in path or "dataset.json" in path:
            return None
        seen.append(path)
        return (503, "down") if len(seen) > 10 else None

    with monkeypatch.context() as patch:
        patch.setattr(cloud, "fault", fault)
        with pytest.raises(StorageError, match="down"):
            fetch(pushed, str(copy), False)
    assert not (copy / "dataset.json").exists()
    assert not list(copy.rglob("*.part"))
    there = sum(path.suffix in (".tfrecord", ".index") for path in copy.rglob("*"))
    assert there == 10
    requests = len(cloud.requests)
    files = len(made.files(faces_dataset).keys() - METADATA)
    fetch(pushed, str(copy), False)
    assert len(media(cloud.requests[requests:])) == files - there
    assert verify(str(copy), True, lambda: None) == []


def test_partial_files_of_a_killed_fetch_are_no_hindrance(pushed, tmp_path):
    part = tmp_path / "copy" / ".fetch" / "0123.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"half")
    fetch(pushed, str(tmp_path / "copy"), False)
    assert os.listdir(part.parent) == ["lock"]


def test_connections_that_drop_cost_nothing_but_time(cloud, pushed, tmp_path, monkeypatch):
    with cutting(cloud, down=[9000, 500, 3000, 700, 1200]) as cutter:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", cutter.url)
        fetch(pushed, str(tmp_path / "copy"), False)
        assert cutter.cuts >= 3
    assert verify(str(tmp_path / "copy"), True, lambda: None) == []


def test_bytes_that_are_not_the_manifests_are_refused(pushed, faces_dataset, dataset, tmp_path):
    content = (faces_dataset / SHARD).read_bytes()
    storage.write_bytes(f"{pushed}/{SHARD}", content[:-1] + b"?")
    with pytest.raises(DataError, match=f"{SHARD}' does not have the sha256 of the manifest"):
        fetch(pushed, str(tmp_path / "copy"), False)
    assert not (tmp_path / "copy" / "dataset.json").exists()
    assert not (tmp_path / "copy" / SHARD).exists()
    (dataset / SHARD).write_bytes(content[:-1] + b"?")
    with pytest.raises(DataError, match="does not have the sha256 of the manifest"):
        push(str(dataset), f"{pushed}-2", False)
    assert not storage.exists(f"{pushed}-2/dataset.json")


def test_a_dataset_that_lacks_files_is_refused_before_anything_is_copied(pushed, tmp_path):
    storage.remove(f"{pushed}/{SHARD}")
    with pytest.raises(DataError, match=rf"lacks 1 files that its manifest names, such as {SHARD}"):
        fetch(pushed, str(tmp_path / "copy"), False)
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a//b", "a/./b", "a\\..\\b"])
def test_a_manifest_that_names_files_elsewhere_is_refused(pushed, tmp_path, name):
    fields = json.loads(storage.read_text(f"{pushed}/dataset.json"))
    fields["splits"]["train"]["shards"][0]["file"] = name
    storage.write_text(f"{pushed}/dataset.json", json.dumps(fields))
    with pytest.raises(DataError, match="outside of the dataset directory"):
        fetch(pushed, str(tmp_path / "copy"), False)


def test_another_dataset_is_replaced_only_when_asked(cloud, pushed, faces, tmp_path):
    other = tmp_path / "other"
    made.built("fec", other, **faces, variants=1, shards=2)
    before = made.files(other)
    with pytest.raises(ConfigError, match=r"holds another dataset .*or --overwrite"):
        fetch(pushed, str(other), False)
    assert made.files(other) == before
    fetch(pushed, str(other), True)
    assert verify(str(other), True, lambda: None) == []
    made.built("fec", tmp_path / "third", **faces, variants=1, shards=2)
    with pytest.raises(ConfigError, match="holds another dataset"):
        push(str(tmp_path / "third"), pushed, False)
    push(str(tmp_path / "third"), pushed, True)
    assert cloud.objects(pushed) == made.files(tmp_path / "third")


def test_while_files_change_there_is_no_manifest(cloud, pushed, faces, tmp_path, monkeypatch):
    made.built("fec", tmp_path / "new", **faces, variants=1, shards=2)
    without: list[bool] = []

    def look(method: str, path: str) -> None:
        if "/upload/" in path:
            without.append("dataset/dataset.json" not in cloud.storage.objects[name])

    name = re.match("gs://([^/]+)", pushed)[1]
    monkeypatch.setattr(cloud, "fault", look)
    push(str(tmp_path / "new"), pushed, True)
    # The first upload is the lock, before anything changes.
    assert len(without) > 5 and not without[0] and all(without[1:])


@pytest.mark.parametrize("target", ["file", "full"])
def test_a_target_that_is_something_else_is_refused(pushed, tmp_path, target):
    (tmp_path / "file").write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match=f"{target}'"):
        fetch(pushed, str(tmp_path / target), False)


def test_a_second_fetch_waits_for_the_first_and_finds_all_there(cloud, pushed, tmp_path, capsys):
    copy = str(tmp_path / "copy")
    os.makedirs(f"{copy}/.fetch")
    done: list[dict] = []
    with storage.lock(f"{copy}/.fetch/lock", "a test"):
        second = threading.Thread(target=lambda: done.append(fetch(pushed, copy, False)))
        second.start()
        deadline = time.monotonic() + 30
        while "waiting" not in capsys.readouterr().err and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not Path(copy, "dataset.json").exists()
    second.join()
    assert done[0]["bytes_copied"] == done[0]["bytes"]


def test_the_commands_say_one_thing_on_stdout(pushed, bucket, tmp_path):
    copy = str(tmp_path / "copy")
    fetched = made.run("fetch", pushed, copy, "--json")
    assert (fetched.returncode, fetched.stderr) == (0, "")
    assert set(json.loads(fetched.stdout)) == {
        "bytes",
        "bytes_copied",
        "digest",
        "files",
        "seconds",
    }
    back = made.run("push", copy, f"{bucket}/again")
    assert (back.returncode, back.stderr) == (0, "")
    assert json.loads(fetched.stdout)["digest"] in back.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["fetch", "gs://no-such-bucket/a", "DIR"], 64, "there is no bucket 'no-such-bucket'"),
        (["fetch", "{bucket}/nothing", "DIR"], 65, "no dataset.json in 'gs://"),
        (["fetch", "DIR", "{bucket}/a"], 64, "gs://BUCKET/DATASET DIR expected, got DIR gs://"),
        (["push", "DIR"], 64, "DIR gs://BUCKET/DATASET expected, got DIR"),
        (["push", "DIR", "{bucket}/a"], 65, "no dataset.json in '"),
    ],
)
def test_mistakes_end_with_their_code_and_a_line(bucket, arguments, code, said):
    done = made.run(*(argument.format(bucket=bucket) for argument in arguments))
    assert done.returncode == code
    assert said in done.stderr and "Traceback" not in done.stderr
    assert done.stdout == "" and len(done.stderr.splitlines()) <= 2
