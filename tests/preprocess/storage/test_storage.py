"""Files and objects answer alike; what a network does to objects is mended or said."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from preprocess import storage
from preprocess.shell.errors import ConfigError, StorageError, UsageError
from preprocess.storage import gcs, gcs_connection, local
from tests.preprocess import made
from tests.preprocess.cloud import Cutter, cutting

BIG = os.urandom(12 << 20)  # above 8 MB an upload is a resumable one


@pytest.fixture(params=["local", "remote"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty folder, or an empty bucket."""
    if request.param == "local":
        return str(tmp_path)
    return str(request.getfixturevalue("bucket"))


def write_many(texts: dict[str, str]) -> None:
    storage.write_unsynced({path: text.__str__ for path, text in texts.items()})


# --- the same on both sides


def test_what_is_written_is_read_back(place):
    storage.write_text(f"{place}/a/b.txt", "кот\n")
    assert storage.read_text(f"{place}/a/b.txt") == "кот\n"
    storage.write_text(f"{place}/a/b.txt", "пёс и кот\n")
    path = f"{place}/a/b.txt"
    assert storage.size(path) == storage.stat(path).size == 17
    assert storage.exists(path)
    assert storage.read_bytes(path, 6) == "пёс".encode()
    assert storage.read_range(path, 7, 2) == "и".encode()
    assert storage.read_range(path, 15, 100) == "т\n".encode()[-2:]
    with storage.open_read(path) as file:
        assert (file.seek(7), file.read(2)) == (7, "и".encode())


def test_an_empty_file_is_one(place):
    storage.write_bytes(f"{place}/empty", b"")
    assert storage.size(f"{place}/empty") == 0
    assert storage.read_bytes(f"{place}/empty") == b""
    assert storage.read_bytes(f"{place}/empty", 10) == b""
    assert storage.open_read(f"{place}/empty").read() == b""


def test_what_is_not_there(place):
    path = f"{place}/gone"
    for call in (storage.size, storage.stat, storage.read_bytes, storage.open_read):
        with pytest.raises(FileNotFoundError):
            call(path)
    assert not storage.exists(path)
    assert storage.names(path) == [] and storage.tree(path) == {}
    storage.remove(path)
    storage.remove_tree(path)


def test_listings(place):
    """More names than the stand-in gives a page."""
    files = {f"{place}/x/{n:03d}/f": "a" * n for n in range(60)}
    write_many({**files, f"{place}/x/top": "t", f"{place}/xy": "other"})
    assert sorted(storage.names(f"{place}/x")) == [*(f"{n:03d}" for n in range(60)), "top"]
    tree = storage.tree(f"{place}/x")
    assert {name: info.size for name, info in tree.items()} == {
        **{f"{n:03d}/f": n for n in range(60)},
        "top": 1,
    }
    storage.remove_tree(f"{place}/x")
    assert storage.tree(f"{place}/x") == {}
    assert storage.exists(f"{place}/xy")


def test_a_listing_tells_when_content_changes(place):
    storage.write_text(f"{place}/a", "1")
    before = storage.tree(place)["a"]
    assert before == storage.tree(place)["a"]
    time.sleep(0.02)  # above the resolution of a file's time
    storage.write_text(f"{place}/a", "2")
    assert storage.tree(place)["a"].version != before.version


def test_nothing_is_seen_before_it_is_published(place):
    pending = storage.create(f"{place}/a")
    pending.file.write(b"half")
    assert not storage.exists(f"{place}/a")
    pending.discard()
    assert storage.tree(place) == {}
    pending = storage.create(f"{place}/a")
    pending.file.write(b"whole")
    pending.publish()
    pending.discard()
    assert list(storage.tree(place)) == ["a"]


def test_many_files_come_in_their_order_with_the_errors_of_their_own(place):
    paths = [f"{place}/{n}" for n in range(100)]
    write_many({path: str(n) for n, path in enumerate(paths) if n != 70})
    contents = list(storage.read_many(paths))
    assert isinstance(contents.pop(70), FileNotFoundError)
    assert contents == [str(n).encode() for n in range(100) if n != 70]


def test_a_text_is_made_when_the_one_before_it_is_on_the_disk(tmp_path):
    """So that no two of a large set's are in memory: each of them says how many files there are."""

    def text() -> str:
        return str(len(list(tmp_path.iterdir())))

    storage.write_unsynced({f"{tmp_path}/{name}": text for name in "abc"})
    # A file is there as soon as it is opened, so it counts itself or not.
    counts = [int((tmp_path / name).read_text()) for name in "abc"]
    assert counts in ([0, 1, 2], [1, 2, 3])


def test_only_one_holds_a_lock(place):
    path = f"{place}/lock"
    with storage.lock(path, "a test") as held:
        held.check()
        assert storage.exists(path)
    with storage.lock(path, "a test"):
        pass


# --- paths


def test_paths_are_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert storage.absolute("a") == str(tmp_path / "a")
    assert storage.absolute("gs://bucket/a/b/") == "gs://bucket/a/b"
    assert storage.absolute("gs://bucket/") == storage.absolute("gs://bucket") == "gs://bucket"


@pytest.mark.parametrize("path", ["gs://", "gs:///a", "gs://B/a", "s3://bucket/a", "hdfs://x/y"])
def test_other_schemes_and_paths_without_a_bucket_are_refused(path):
    with pytest.raises(UsageError, match="gs://"):
        storage.absolute(path)


# --- the network


def through(cutter: Cutter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", cutter.url)


def test_a_download_that_is_cut_goes_on_where_it_broke(cloud, bucket, monkeypatch):
    """The first request of all lists the bucket; then the object is looked up on the same
    connection and comes in three pieces: 5 MB, 3 MB and the rest.
    """
    storage.write_bytes(f"{bucket}/big", BIG)
    with cutting(cloud, down=[5 << 20, 3 << 20]) as cutter:
        through(cutter, monkeypatch)
        before = len(cloud.requests)
        assert storage.open_read(f"{bucket}/big").read() == BIG
        downloads = [path for _, path in cloud.requests[before:] if "alt=media" in path]
        assert (cutter.cuts, len(downloads)) == (2, 3)


def test_an_upload_that_is_cut_is_whole_in_the_end(cloud, bucket, monkeypatch):
    with cutting(cloud, up=[5 << 20, 3 << 20]) as cutter:
        through(cutter, monkeypatch)
        storage.write_bytes(f"{bucket}/big", BIG)
        assert cutter.cuts == 2
    assert cloud.objects(bucket)["big"] == BIG


def test_a_storage_that_is_busy_is_asked_again(cloud, bucket, monkeypatch):
    storage.write_text(f"{bucket}/a", "x")
    answers = [(503, "busy"), (429, "slow down")]
    monkeypatch.setattr(cloud, "fault", lambda *_: answers.pop() if answers else None)
    assert storage.read_text(f"{bucket}/a") == "x"
    assert answers == []


def test_bytes_that_changed_on_the_way_are_not_taken(cloud, bucket):
    """The checksum goes with the upload, and the storage compares."""
    with pytest.raises(StorageError):
        gcs.upload(f"{bucket}/a", io.BytesIO(b"x"), checksum="AAAAAA==")
    assert cloud.objects(bucket) == {}


def test_bytes_that_are_not_what_the_storage_says_are_not_read(cloud, bucket, monkeypatch):
    storage.write_text(f"{bucket}/a", "good")
    name = bucket.removeprefix("gs://")
    monkeypatch.setattr(gcs, "ATTEMPTS", 1)
    cloud.storage._store.write_bytes(f"{name}/a", b"evil")
    with pytest.raises(StorageError, match="checksum"):
        storage.open_read(f"{bucket}/a")


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        (401, ConfigError, "the Google Cloud credentials were refused"),
        (403, ConfigError, r"not allowed: no way\nthe account needs the role storage.objectUser"),
        (400, StorageError, "cannot be reached: no way"),
    ],
)
def test_what_the_storage_refuses_is_said_in_its_words(
    cloud, bucket, monkeypatch, status, error, said
):
    storage.names(bucket)
    monkeypatch.setattr(cloud, "fault", lambda *_: (status, "no way"))
    with pytest.raises(error, match=said):
        storage.read_bytes(f"{bucket}/a")


def test_a_missing_bucket_is_named(cloud):
    for call in (storage.names, storage.read_bytes, storage.tree, storage.make_folder):
        with pytest.raises(UsageError, match="there is no bucket 'no-such-bucket'"):
            call("gs://no-such-bucket/a")


def test_a_storage_that_is_not_there_is_said_soon(cloud, monkeypatch):
    """Port 9 of this machine: nobody listens."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    monkeypatch.setattr(gcs_connection, "FIRST_RETRY_SECONDS", 1.0)
    with pytest.raises(StorageError, match="'gs://bucket' cannot be reached"):
        storage.names("gs://bucket")


def test_an_outage_is_not_a_picture_that_cannot_be_read(cloud, bucket, monkeypatch):
    storage.write_text(f"{bucket}/a", "x")
    monkeypatch.setattr(cloud, "fault", lambda *_: (503, "down"))
    monkeypatch.setattr(gcs_connection, "RETRY_SECONDS", 0.5)
    with pytest.raises(StorageError, match="down"):
        next(storage.read_many([f"{bucket}/a"]))


def test_without_credentials_it_says_so_at_once(tmp_path):
    """NO_GCE_CHECK leaves out the search for a machine of Google's, which takes 3 x 3 s where
    nothing answers.
    """
    hidden = ("STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS")
    env = {k: v for k, v in made.environment().items() if k not in hidden}
    done = subprocess.run(
        made.command("info", "gs://bucket/dataset"),
        env={**env, "HOME": str(tmp_path), "NO_GCE_CHECK": "true"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == os.EX_CONFIG
    assert "no Google Cloud credentials (none found)" in done.stderr
    assert "Workload Identity" in done.stderr
    assert "gcloud auth application-default login" in done.stderr
    assert "Traceback" not in done.stderr and "Warning" not in done.stderr


def test_local_paths_never_import_googles_libraries(tmp_path):
    images = made.class_folders(tmp_path / "in")
    code = (
        "import sys\n"
        "from tests.preprocess import made\n"
        "from preprocess.examine import dataset_diff as diff, verify\n"
        f"made.built('folders', {str(tmp_path / 'out')!r}, images={str(images)!r})\n"
        f"assert verify.verify({str(tmp_path / 'out')!r}, True, lambda: None) == []\n"
        "assert 'preprocess.storage.gcs' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], env=made.environment(), cwd=made.ROOT, check=True)


@pytest.mark.parametrize("what", ["link", "pipe", "folder"])
def test_what_stands_in_place_of_a_lock_is_refused_and_left_as_it_was(tmp_path, what):
    path, precious = tmp_path / "lock", tmp_path / "precious"
    precious.write_text("precious")
    {
        "link": lambda: path.symlink_to(precious),
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
    }[what]()
    with pytest.raises(UsageError, match="not a lock file"), storage.lock(str(path), "a build"):
        pass
    assert precious.read_text() == "precious"


def test_links_that_lead_out_of_a_folder_are_found_at_any_depth(tmp_path):
    folder = tmp_path / "folder"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "inside").symlink_to(folder / "a")
    (folder / "a" / "b" / "out").symlink_to(tmp_path)
    assert local.links_out(str(folder)) == ["a/b/out"]


def test_objects_are_opened_once_however_many_are_asked_for(bucket):
    """A handler of the root logger for each request slowed every message of a long build."""
    storage.write_text(f"{bucket}/a", "x")
    before = list(logging.getLogger().handlers), list(warnings.filters)
    for _ in range(20):
        assert storage.read_text(f"{bucket}/a") == "x"
        with storage.lock(f"{bucket}/lock", "a test"):
            pass
    assert (logging.getLogger().handlers, warnings.filters) == before
