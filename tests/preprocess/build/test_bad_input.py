"""Bad input through the whole build: refused with its reason, and nothing good is lost."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from preprocess.build.summary import in_words
from preprocess.shell.errors import DataError
from tests.preprocess import made

# What lies in the place of a picture -> the reason in rejected.jsonl, or "" where it is taken.
BAD_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "zero bytes": (lambda p: p.write_bytes(b""), "empty_file"),
    "text": (lambda p: p.write_text("not a picture"), "not_a_picture"),
    "a saved error page": (lambda p: p.write_text("<html>404"), "not_a_picture"),
    "truncated": (lambda p: p.write_bytes(jpeg(p)[:-150]), "damaged_picture"),
    "a header only": (lambda p: p.write_bytes(jpeg(p)[:4]), "damaged_picture"),
    "animated": (lambda p: animation(p), "animated"),
    "a decompression bomb": (lambda p: bomb(p), "too_large"),
    "floats": (lambda p: floats(p), "unsupported_channels"),
    "a link out": (lambda p: p.symlink_to("/etc/hostname"), "outside_folder"),
    "a link to nothing": (lambda p: p.symlink_to(p.parent / "gone"), "missing_picture"),
    "a pipe": (lambda p: os.mkfifo(p), "unreadable_file"),
    "CMYK": (lambda p: made.save(p, mode="CMYK"), ""),
    "16 bit": (lambda p: sixteen_bit(p), ""),
    "transparent": (lambda p: made.save(p.with_suffix(".png"), mode="RGBA").rename(p), ""),
    "palette": (lambda p: made.save(p.with_suffix(".png"), mode="P").rename(p), ""),
    "grey": (lambda p: made.save(p, mode="L"), ""),
}


def jpeg(path: Path) -> bytes:
    data = made.save(path).read_bytes()
    path.unlink()
    return data


def animation(path: Path) -> None:
    first, second = (Image.fromarray(made.pixels(n)) for n in (0, 1))
    first.save(path, "GIF", save_all=True, append_images=[second])


def bomb(path: Path) -> None:
    """100 million grey pixels in some 100 kB."""
    Image.new("1", (10_000, 10_000)).save(path, "PNG")


def floats(path: Path) -> None:
    Image.fromarray(np.zeros((4, 4), np.float32)).save(path, "TIFF")


def sixteen_bit(path: Path) -> None:
    Image.fromarray(np.full((20, 24), 40_000, np.uint16)).save(path, "PNG")


@pytest.fixture(scope="module")
def bad_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders with every bad file beside good ones, built with a generous budget."""
    root = tmp_path_factory.mktemp("bad")
    for number in range(8):
        made.save(root / "in" / "good" / f"{number}.jpg", number)
    for name, (make, _) in BAD_FILES.items():
        path = root / "in" / "mixed" / f"{name}.jpg"
        path.parent.mkdir(exist_ok=True)
        make(path)
    made.built(
        "folders",
        root / "out",
        images=root / "in",
        variants=2,
        encoding="png",
        max_bad_fraction=0.9,
        workers=2,
    )
    return root / "out"


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_refused_with_its_reason_and_a_strange_one_taken(bad_folder, name):
    lines = [r for r in made.rejected(bad_folder) if r["source"] == f"mixed/{name}.jpg"]
    taken = {r["image/id"].decode() for r in made.image_records(bad_folder, "train")}
    reason = BAD_FILES[name][1]
    assert [r["reason"] for r in lines] == [reason] * bool(reason)
    assert (f"mixed/{name}.jpg" in taken) is not bool(reason)


def test_every_good_picture_is_there_and_the_counts_are_right(bad_folder):
    refused = [reason for _, reason in BAD_FILES.values() if reason]
    manifest = made.manifest(bad_folder)
    assert manifest.rejected["count"] == len(refused)
    expected = {reason: refused.count(reason) for reason in sorted(set(refused))}
    assert manifest.rejected["by_reason"] == expected
    assert manifest.splits["train"].images == 8 + len(BAD_FILES) - len(refused)


def test_every_line_of_the_refusals_has_the_same_keys(bad_folder):
    for line in made.rejected(bad_folder):
        assert set(line) == {"source", "line", "stage", "reason", "detail"}
        assert line["stage"] == "picture" and line["line"] is None


BAD_ROWS = [
    ("f000,f001", "missing_column"),
    ("f000,f001,f002,many,0.2,0.7,T,train", "bad_number"),
    ("f000,f001,f002,nan,0.2,0.7,T,train", "bad_number"),
    ("f000,f001,f002,0.5,0.5,0.7,T,train", "bad_votes"),
    ("f000,f001,f002,0.1,0.2,0.7,T,holdout", "unknown_subset"),
    ("f000,f000,f002,0.1,0.2,0.7,T,train", "same_face_twice"),
    ("../../etc/passwd,f001,f002,0.1,0.2,0.7,T,train", "outside_folder"),
    ("/etc/passwd,f001,f002,0.1,0.2,0.7,T,train", "outside_folder"),
    ("f0\x0000,f001,f002,0.1,0.2,0.7,T,train", "bad_id"),
    ("f\x1b[2J,f001,f002,0.1,0.2,0.7,T,train", "bad_id"),
    ('"f000,f001,f002,0.1,0.2,0.7,T,train', "unreadable_row"),
    ("x" * 200_000, "unreadable_row"),
]


def test_bad_rows_cost_themselves_only(tmp_path):
    flags = made.triplet_set(tmp_path)
    good = made.triplet_rows()
    mixed = [line for pair in zip(BAD_ROWS, good, strict=False) for line in (pair[0][0], pair[1])]
    text = "\ufeff" + "".join(f"{r}\r\n" for r in [made.HEADER, *mixed, *good[len(BAD_ROWS) :]])
    flags["csv"].write_bytes(text.encode("utf-8"))
    summary = made.built("fec", tmp_path / "out", **flags, max_bad_fraction=0.5)
    assert summary["triplets"] == len(good) and summary["pictures"] == 30
    found = [(r["line"], r["stage"], r["reason"]) for r in made.rejected(tmp_path / "out")]
    # The header is line 1; bad and good rows take turns from line 2.
    assert found == [(2 + 2 * i, "table", reason) for i, (_, reason) in enumerate(BAD_ROWS)]
    assert summary["rejected"]["count"] == len(BAD_ROWS)
    assert {r["source"] for r in made.rejected(tmp_path / "out")} == {"labels.csv"}


def test_a_triplet_goes_with_its_picture_and_is_listed_but_not_counted_again(tmp_path):
    flags = made.triplet_set(tmp_path)
    (flags["images"] / "f010.jpg").write_bytes(b"")  # in triplets 8, 9 and 10
    (flags["images"] / "f020.jpg").unlink()  # in triplets 18, 19 and 20
    summary = made.built("fec", tmp_path / "out", **flags, max_bad_fraction=0.5)
    assert summary["rejected"] == {"count": 2, "by_reason": {"empty_file": 1, "missing_picture": 1}}
    assert (summary["pictures"], summary["triplets"]) == (28, 26 - 6)
    listed = [r for r in made.rejected(tmp_path / "out") if r["stage"] == "triplet"]
    assert [r["line"] - 2 for r in listed] == [8, 9, 10, 18, 19, 20]
    assert {r["reason"] for r in listed} == {"picture_refused"}


def test_a_face_in_both_subsets_is_said_and_stored_in_both(tmp_path):
    flags = made.triplet_set(tmp_path)
    with flags["csv"].open("a") as table:
        table.write("f000,f024,f025,0.1,0.2,0.7,T,test\n")
    summary = made.built("fec", tmp_path / "out", **flags)
    assert "warning: 1 faces are in more than one subset" in summary["said"]
    assert summary["pictures"] == 31


@pytest.mark.parametrize("subset", ["train", "test"])
def test_one_subset_only(tmp_path, subset):
    flags = made.triplet_set(tmp_path)
    rows = [row for row in made.triplet_rows() if row.endswith(subset)]
    made.write_table(flags["csv"], [made.HEADER, *rows])
    built = made.built("fec", tmp_path / "out", **flags)
    assert set(made.manifest(tmp_path / "out").splits) == {subset}
    said = {"train": "there is only a training split", "test": "there is no training split"}
    assert f"warning: {said[subset]}" in built["said"]


def test_a_table_with_a_header_only_is_refused(tmp_path):
    flags = made.triplet_set(tmp_path)
    made.write_table(flags["csv"], [made.HEADER])
    with pytest.raises(DataError, match="no pictures: 0 inputs"):
        made.built("fec", tmp_path / "out", **flags)


# --- the budget


def test_at_the_budget_it_builds_and_beyond_it_does_not(tmp_path):
    """One of 10 pictures is bad: a tenth is allowed, less is not."""
    images = made.class_folders(tmp_path / "in", names=("a",), count=5)
    (images / "train" / "a" / "000.jpg").write_bytes(b"")
    assert made.built("folders", tmp_path / "ok", images=images, max_bad_fraction=0.1)
    with pytest.raises(DataError, match=r"1 of 10 inputs refused, .*0.09.*: 1 empty_file"):
        made.built("folders", tmp_path / "out", images=images, max_bad_fraction=0.09)
    assert not (tmp_path / "out" / "dataset.json").exists()
    assert [r["reason"] for r in made.rejected(tmp_path / "out")] == ["empty_file"]


@pytest.mark.parametrize("where", ["pictures", "table"])
def test_beyond_the_budget_an_earlier_manifest_does_not_go_on_speaking(tmp_path, where):
    flags = made.triplet_set(tmp_path)
    first = made.built("fec", tmp_path / "out", **flags)
    good = flags["csv"].read_text()
    if where == "pictures":
        (flags["images"] / "f000.jpg").rename(tmp_path / "kept")
        (flags["images"] / "f000.jpg").write_bytes(b"")
    else:
        flags["csv"].write_text(good + "x,y\n")
    with pytest.raises(DataError, match=r"no dataset\.json was written"):
        made.built("fec", tmp_path / "out", **flags)
    assert not (tmp_path / "out" / "dataset.json").exists()
    # Mended, the same command finds its shards again.
    flags["csv"].write_text(good)
    if where == "pictures":
        (tmp_path / "kept").rename(flags["images"] / "f000.jpg")
    again = made.built("fec", tmp_path / "out", **flags)
    assert again["digest"] == first["digest"]
    assert again["shards_reused"] >= (1 if where == "pictures" else 4)


def test_a_finished_build_is_held_against_a_stricter_budget_too(tmp_path):
    images = made.class_folders(tmp_path / "in", names=("a",), count=5)
    (images / "train" / "a" / "000.jpg").write_bytes(b"")
    made.built("folders", tmp_path / "out", images=images, max_bad_fraction=0.5)
    with pytest.raises(DataError, match="1 of 10 inputs refused"):
        made.built("folders", tmp_path / "out", images=images, max_bad_fraction=0.01)


def test_all_training_pictures_refused_is_no_dataset(tmp_path):
    images = made.class_folders(tmp_path / "in", names=("a",), count=2)
    for path in (images / "train" / "a").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match="every training picture was refused"):
        made.built("folders", tmp_path / "out", images=images, max_bad_fraction=1.0)
    assert not (tmp_path / "out" / "dataset.json").exists()


def test_pictures_found_under_another_spelling_are_counted_in_the_summary(tmp_path):
    for number in range(4):
        made.save(tmp_path / "img" / f"{number}.jpg", number)
    rows = ["path,label", "0,a", "1,b", "2.JPG,a", "3.jpg,b"]
    table = made.write_table(tmp_path / "t.csv", rows)
    summary = made.built("csv", tmp_path / "out", csv=table, images=tmp_path / "img")
    assert summary["spellings"] == {"with a suffix": 2, "in another case": 1}
    said = list(in_words(summary, "out"))
    assert "found under another spelling: 2 with a suffix, 1 in another case" in said
    assert "2 pictures were found with a suffix, such as '0' as '0.jpg'" in summary["said"]
