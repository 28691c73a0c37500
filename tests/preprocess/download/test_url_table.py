"""`preprocess fetch --csv`: what comes, what does not, and going on."""

from __future__ import annotations

import csv
import io
import json
import re
import threading

import numpy as np
import pytest
from PIL import Image

from preprocess.download import schedule
from preprocess.download.picture_store import opened_log
from preprocess.download.url_table import UrlRequest, fetch_urls
from preprocess.download.web_client import Limits
from preprocess.pictures.decode import decode
from preprocess.shell.errors import DataError, UsageError
from preprocess.sources import read_source
from preprocess.sources.rows import Request
from preprocess.storage import local
from tests.preprocess import made


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(schedule, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(schedule.run, "__defaults__", (0.01,))


def fetch(tmp_path, lines, **changes):
    table = made.write_table(tmp_path / "urls.csv", lines)
    limits = Limits(1 << 20, 20.0, allow_private=True)
    return fetch_urls(
        UrlRequest(str(table), str(tmp_path / "out"), changes.pop("limits", limits), **changes)
    )


def survivors(tmp_path):
    with open(tmp_path / "out" / "labels.csv", encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def log(tmp_path):
    lines = (tmp_path / "out" / "fetch.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines if line]


def test_the_survivors_are_a_table_that_builds(tmp_path, web):
    lines = ["url,id,label,split"]
    splits = ["train"] * 6 + ["test"] * 2
    lines += [f"{web.url}/{n}.jpg,p{n},{'ab'[n % 2]},{splits[n]}" for n in range(8)]
    lines += [f"{web.url}/nothing.jpg,p8,a,train", f"{web.url}/busy.jpg,p9,b,train"]
    summary = fetch(tmp_path, lines)
    assert (summary["pictures"], summary["fetched"], summary["already_there"]) == (10, 9, 0)
    assert summary["failed"] == {"http_404": 1}
    assert web.asked["/busy.jpg"] == 3
    assert survivors(tmp_path)[:2] == [["path", "label", "split"], ["images/p0.jpg", "a", "train"]]
    for number in range(8):
        file = tmp_path / "out" / "images" / f"p{number}.jpg"
        assert file.read_bytes() == web.files[f"/{number}.jpg"]
    source = read_source("csv", Request(summary["table"], str(tmp_path / "out")))
    assert (len(source.pictures), source.classes, source.rejections) == (9, ["a", "b"], [])


def test_the_same_command_continues_and_asks_for_nothing_twice(tmp_path, web):
    lines = ["url,label", f"{web.url}/1.jpg,a", f"{web.url}/nothing.jpg,a", f"{web.url}/2.jpg,b"]
    fetch(tmp_path, lines)
    first = dict(web.asked)
    lines.append(f"{web.url}/3.jpg,b")
    summary = fetch(tmp_path, lines)
    assert (summary["already_there"], summary["fetched"]) == (2, 1)
    assert web.asked == {**first, "/3.jpg": 1}
    fetch(tmp_path, lines, retry_failed=True)
    assert web.asked["/nothing.jpg"] == 2
    next((tmp_path / "out" / "images").glob("*.jpg")).write_bytes(b"cut")
    assert fetch(tmp_path, lines)["fetched"] == 1


def test_a_second_fetch_into_a_folder_waits_for_the_first(tmp_path, web, monkeypatch):
    notices, waits = [], threading.Event()
    monkeypatch.setattr(local, "LOCK_POLL_SECONDS", 0.01)
    monkeypatch.setattr(local, "say", lambda text: (notices.append(text), waits.set()))
    lines = ["url,id,label", *(f"{web.url}/{n}.jpg,p{n},a" for n in range(3))]
    found = []
    second = threading.Thread(target=lambda: found.append(fetch(tmp_path, lines)))
    with opened_log(str(tmp_path / "out")) as first:
        second.start()
        assert waits.wait(20)
        assert not web.asked
        # What the first has settled by its end is known to the second.
        first.note("p0", reason="http_404", detail="gone", passing=False)
    second.join(20)
    assert found[0]["fetched"] == 2
    assert found[0]["failed"] == {"http_404": 1}
    assert notices == [f"another fetch is filling '{tmp_path / 'out'}'; waiting for it"]


def test_a_log_that_is_a_link_is_not_written_through(tmp_path, web):
    (tmp_path / "out").mkdir()
    (tmp_path / "notes.txt").write_text("a line\n")
    (tmp_path / "out" / "fetch.jsonl").symlink_to(tmp_path / "notes.txt")
    with pytest.raises(UsageError, match=r"fetch\.jsonl"):
        fetch(tmp_path, ["url,id,label", f"{web.url}/0.jpg,p0,a"])
    assert (tmp_path / "notes.txt").read_text() == "a line\n"


def test_a_log_that_was_cut_off_is_read_up_to_there(tmp_path, web):
    lines = ["url,label", f"{web.url}/1.jpg,a", f"{web.url}/2.jpg,b"]
    fetch(tmp_path, lines)
    path = tmp_path / "out" / "fetch.jsonl"
    path.write_text(path.read_text()[:-9])
    assert fetch(tmp_path, lines)["fetched"] == 1
    assert fetch(tmp_path, lines)["already_there"] == 2
    assert len([line for line in path.read_text().splitlines() if line]) == 3


def test_what_is_no_picture_is_not_kept(tmp_path, web):
    web.files["/page.jpg"] = b"<html>not found</html>"
    web.files["/empty.jpg"] = b""
    lines = ["url,label", f"{web.url}/1.jpg,a", f"{web.url}/page.jpg,a", f"{web.url}/empty.jpg,a"]
    summary = fetch(tmp_path, lines)
    assert summary["failed"] == {"not_a_picture": 1, "empty_file": 1}
    assert len(list((tmp_path / "out" / "images").iterdir())) == 1


def test_private_addresses_are_refused_unless_asked_for(tmp_path, web):
    closed = Limits(1 << 20, 20.0, allow_private=False)
    with pytest.raises(DataError, match="could be downloaded: 1 private_address"):
        fetch(tmp_path, ["url,label", f"{web.url}/1.jpg,a"], limits=closed)
    assert not web.asked
    assert fetch(tmp_path, ["url,label", f"{web.url}/1.jpg,a"])["fetched"] == 1


def test_names_from_the_table_stay_in_the_folder(tmp_path, web):
    ids = ["../../up", "/etc/passwd", "a/b.jpg", "=1+1", "ok-1.png", "x" * 300]
    lines = ["url,id,label", *(f"{web.url}/{n}.jpg,{name},=x" for n, name in enumerate(ids))]
    assert fetch(tmp_path, lines)["fetched"] == 6
    names = sorted(file.name for file in (tmp_path / "out" / "images").iterdir())
    assert "ok-1.jpg" in names
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+\.jpg", name) for name in names)
    assert {row[1] for row in survivors(tmp_path)[1:]} == {"'=x"}  # no formula in a spreadsheet


def test_of_googles_own_file_each_face_is_cut_out_of_its_picture(tmp_path, web):
    """Of 24x20 pixels the left half is 12x20, the lower right quarter 12x10."""
    buffer = io.BytesIO()
    picture = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    Image.fromarray(picture).save(buffer, "PNG")
    web.files["/many.png"] = buffer.getvalue()
    left, corner = f"{web.url}/many.png,0,0.5,0,1", f"{web.url}/many.png,0.5,1,0.5,1"
    other = f"{web.url}/1.jpg,0.25,0.75,0,1"
    row = f"{left},{corner},{other},ONE_CLASS_TRIPLET,a,1,b,1,c,2"
    bad = row.replace("0,0.5,0,1", "0.5,0,0,1")
    summary = fetch(tmp_path, [row, row, bad])
    assert (summary["pictures"], summary["refused_rows"]) == (3, 1)
    assert web.asked["/many.png"] == 1
    source = read_source("fec", Request(str(tmp_path / "urls.csv"), summary["images"]))
    shapes = sorted(
        decode((tmp_path / "out" / "images" / f"{p.id}.jpg").read_bytes()).image.shape[:2]
        for p in source.pictures
    )
    assert shapes == [(10, 12), (20, 12), (20, 12)]
    assert {r.reason for r in source.rejections} == {"bad_number"}


def test_few_requests_at_a_time_go_to_one_host(tmp_path, web):
    lines = ["url,label", *(f"{web.url}/{n}.jpg,a" for n in range(8))]
    fetch(tmp_path, lines, per_host=2)
    assert web.most_at_once <= 2


def test_a_table_without_urls_and_a_remote_output_say_so(tmp_path, web):
    with pytest.raises(DataError, match="no column 'url'"):
        fetch(tmp_path, ["path,label", "a,b"])
    with pytest.raises(DataError, match="has no rows with a URL"):
        fetch(tmp_path, ["url,label"])
    columns = (("url", "link"),)
    assert fetch(tmp_path, ["link,label", f"{web.url}/1.jpg,a"], columns=columns)["fetched"] == 1
    with pytest.raises(UsageError, match="--output is a local folder"):
        fetch_urls(UrlRequest("x.csv", "gs://b/d", Limits(1, 1, False)))


def test_the_command_prints_what_to_build(tmp_path, web):
    table = made.write_table(tmp_path / "u.csv", ["url,label", f"{web.url}/1.jpg,a", "x,b"])
    output = tmp_path / "out"
    done = made.run("fetch", f"--csv={table}", f"--output={output}", "--allow_private")
    assert done.returncode == 0, done.stderr
    assert "1 of 2 pictures are there, 1 of them new" in done.stdout
    assert "failed: 1 bad_url" in done.stdout
    assert f"build --csv={output}/labels.csv --images={output} --output=DATASET" in done.stdout
    refused = made.run("fetch", f"--csv={table}", "--allow_private")
    assert (refused.returncode, refused.stderr.count("\n")) == (64, 1)
