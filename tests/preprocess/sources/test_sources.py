"""What users have, as rows: splits, paths that stay inside, class numbers, votes."""

from __future__ import annotations

import gzip
import os
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess.shell.errors import DataError, UsageError
from preprocess.sources import idx, read_source
from preprocess.sources.folder import LocalFolder
from preprocess.sources.refusals import Refused
from preprocess.sources.rows import Request, check_name
from preprocess.sources.splitting import Splits, chosen_split, parse_splits
from tests.preprocess import made


def read(kind, **request):
    return read_source(
        kind, Request(**{k: str(v) if k in made.PATHS else v for k, v in request.items()})
    )


def reasons(source):
    return [(r.line, r.stage, r.reason) for r in source.rejections]


def fec(tmp_path, rows, header=made.HEADER, **request):
    for name in "abcd":
        made.save(tmp_path / "faces" / f"{name}.jpg")
    table = made.write_table(tmp_path / "t.csv", [header, *rows])
    return read("fec", csv=table, images=tmp_path / "faces", **request)


# --- paths


@pytest.fixture
def root(tmp_path):
    made.save(tmp_path / "outside.jpg")
    made.save(tmp_path / "root" / "sub" / "in.jpg")
    (tmp_path / "root" / "link.jpg").symlink_to(tmp_path / "outside.jpg")
    (tmp_path / "root" / "near.jpg").symlink_to(tmp_path / "root" / "sub" / "in.jpg")
    (tmp_path / "root" / "folder").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "root" / "pipe.jpg")
    return os.path.realpath(tmp_path / "root")


@pytest.mark.parametrize("name", ["sub/in.jpg", "sub/../sub/in.jpg", "./sub//in.jpg", "near.jpg"])
def test_names_that_stay_inside_are_found(root, name):
    assert LocalFolder(root).inside(name).startswith(root + "/")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../outside.jpg", "outside_folder"),
        ("sub/../../outside.jpg", "outside_folder"),
        ("/etc/passwd", "outside_folder"),
        ("link.jpg", "outside_folder"),
        ("folder/outside.jpg", "outside_folder"),
        ("gone.jpg", "missing_picture"),
        ("sub/in.jpg/x", "missing_picture"),
        ("sub", "unreadable_file"),
        ("pipe.jpg", "unreadable_file"),
        ("x" * 300, "unreadable_file"),
        ("a\0b", "bad_id"),
    ],
)
def test_other_names_are_refused(root, name, reason):
    with pytest.raises(Refused) as caught:
        LocalFolder(root).inside(name)
    assert caught.value.reason == reason


@pytest.mark.parametrize("name", ["кот и пёс.jpg", "a, b.jpg", "猫", "x" * 1024, "-flag", "a\\b"])
def test_names_in_any_script_are_welcome(name):
    assert check_name(name, "id") == name


@pytest.mark.parametrize("name", ["", "x" * 1025, "a\0", "a\nb", "\x7f", "\udcff", "\u2028"])
def test_names_that_cannot_be_stored_or_printed_are_refused(name):
    with pytest.raises(Refused, match="bad_id"):
        check_name(name, "id")


# --- splits


def test_fractions_are_read():
    assert parse_splits("train:0.8,test:0.2").fractions == (("train", 0.8), ("test", 0.2))
    assert parse_splits("") == Splits()


@pytest.mark.parametrize(
    "flag",
    [
        *("train:x", "train:0.5", "train:0.5,train:0.5", "train:1.5", "train:nan", "train,test:1"),
        *("train,Train", "val,dev", "a/b", "..", ".build", "triplets", "x" * 65, "a b", "train,é"),
    ],
)
def test_fractions_that_are_none_are_refused(flag):
    with pytest.raises(UsageError, match="--splits"):
        parse_splits(flag)


def test_splits_of_any_name_are_read():
    assert parse_splits("train,test_a,Test-b") == Splits(("train", "test_a", "Test-b"))
    assert parse_splits("train:0.8,val:0.1,test_a:0.1").fractions == (
        ("train", 0.8),
        ("validation", 0.1),
        ("test_a", 0.1),
    )


@given(st.text(), st.sampled_from(["", "train", "test"]))
def test_what_a_table_names_stays_and_the_rest_follows_from_the_id(image_id, named):
    fractions = (("train", 0.5), ("test", 0.5))
    split = chosen_split(image_id, named, fractions, 0)
    assert split == (named or split) and split in ("train", "test")
    carved = chosen_split(image_id, named, fractions, 0.3)
    assert carved == split or (split, carved) == ("train", "validation")


def test_fractions_are_kept_over_many_ids():
    """Binomial: of 4,000 at 0.25 the standard deviation is 27; five of them are 137."""
    splits = [chosen_split(f"p{n}", "", (("train", 0.75), ("test", 0.25)), 0) for n in range(4000)]
    assert abs(splits.count("test") - 1000) < 137


# --- triplets


def test_votes_come_out_as_shares_of_one(tmp_path):
    source = fec(tmp_path, ["a,b,c,0.33,0.33,0.33,T,train"])
    assert source.triplets[0].votes == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert [(p.id, p.split, p.line) for p in source.pictures] == [(i, "train", 2) for i in "abc"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("a,b,c,x,0.2,0.7,T,train", "bad_number"),
        ("a,b,c,,0.3,0.7,T,train", "bad_number"),
        ("a,b,c,nan,0.3,0.7,T,train", "bad_number"),
        ("a,b,c,inf,0.3,0.7,T,train", "bad_number"),
        ("a,b,c,-0.1,0.4,0.7,T,train", "bad_number"),
        ("a,b,c,0.1,0.2,0.73,T,train", "bad_votes"),
        ("a,b,c,0,0,0,T,train", "bad_votes"),
        ("a,a,c,0.1,0.2,0.7,T,train", "same_face_twice"),
        ("a,b,a.jpg,0.1,0.2,0.7,T,train", "same_face_twice"),
        ("a,b,c,0.1,0.2,0.7,T,trian", "unknown_subset"),
        ("../a,b,c,0.1,0.2,0.7,T,train", "outside_folder"),
        ("/etc/passwd,b,c,0.1,0.2,0.7,T,train", "outside_folder"),
        ("..,b,c,0.1,0.2,0.7,T,train", "outside_folder"),
        (",b,c,0.1,0.2,0.7,T,train", "bad_id"),
        ("a\0,b,c,0.1,0.2,0.7,T,train", "bad_id"),
        ("a\x1b[31m,b,c,0.1,0.2,0.7,T,train", "bad_id"),
        ("a,b,c,0.1,0.2", "missing_column"),
    ],
)
def test_a_bad_triplet_is_refused_with_its_line_and_reason(tmp_path, row, reason):
    source = fec(tmp_path, ["a,b,c,0.1,0.2,0.7,T,train", row])
    assert reasons(source) == [(3, "table", reason)]
    assert len(source.triplets) == 1
    assert source.counted == 2 + 3  # rows and pictures


def test_votes_may_miss_one_by_two_hundredths(tmp_path):
    source = fec(tmp_path, ["a,b,c,0.1,0.2,0.72,T,train", "a,b,c,0.1,0.2,0.68,T,train"])
    assert len(source.triplets) == 2
    assert all(sum(t.votes) == pytest.approx(1) for t in source.triplets)


def test_a_missing_picture_is_refused_once_however_many_triplets_name_it(tmp_path):
    source = fec(tmp_path, ["a,b,gone,0.1,0.2,0.7,T,train", "a,c,gone,0.1,0.2,0.7,T,train"])
    assert reasons(source) == [(2, "picture", "missing_picture")]
    assert source.counted == 2 + 4


def test_a_missing_picture_of_two_subsets_is_refused_once(tmp_path):
    source = fec(tmp_path, ["a,b,gone,0.1,0.2,0.7,T,train", "c,d,gone,0.1,0.2,0.7,T,test"])
    assert reasons(source) == [(2, "picture", "missing_picture")]
    assert source.counted == 2 + 5


def test_rows_with_the_same_votes_share_them_and_bad_ones_are_refused_each(tmp_path):
    row = "a,b,c,{},T,train"
    votes = ["0.1,0.2,0.7", "0.1,0.2,0.9", "0.1,0.2,0.7", "0.1,0.2,0.9"]
    source = fec(tmp_path, [row.format(vote) for vote in votes])
    first, second = source.triplets
    assert first.votes is second.votes == (0.1, 0.2, 0.7)
    assert reasons(source) == [(3, "table", "bad_votes"), (5, "table", "bad_votes")]


def test_a_face_in_both_subsets_is_warned_about(tmp_path):
    source = fec(tmp_path, ["a,b,c,0.1,0.2,0.7,T,train", "a,b,d,0.1,0.2,0.7,T,test"])
    assert "2 faces are in more than one subset" in source.warnings[0]
    assert source.rejections == []
    assert len(source.pictures) == 6  # a and b once a split


def test_without_subset_and_type_columns_all_is_train(tmp_path):
    header = made.HEADER.removesuffix(",triplet_type,subset")
    source = fec(tmp_path, ["a,b,c,0.1,0.2,0.7"], header)
    assert (source.triplets[0].split, source.triplets[0].type) == ("train", "unknown")


def test_a_validation_split_shares_no_face_with_train(tmp_path):
    for number in range(120):
        made.save(tmp_path / "faces" / f"f{number:03d}.jpg")
    table = made.write_table(tmp_path / "t.csv", [made.HEADER, *made.triplet_rows(120, 0)])
    source = read("fec", csv=table, images=tmp_path / "faces", validation_fraction=0.5)
    of = {s: {p.id for p in source.pictures if p.split == s} for s in ("train", "validation")}
    assert of["train"] and of["validation"] and not of["train"] & of["validation"]
    left = 118 - len(source.triplets)
    assert left > 0 and f"{left} triplets have faces in different splits" in source.warnings[0]


def test_of_several_files_with_one_id_the_first_suffix_is_taken(tmp_path):
    made.save(tmp_path / "faces" / "a.png")
    source = fec(tmp_path, ["a,b,c,0.1,0.2,0.7,T,train"])
    assert source.pictures[0].path.endswith("/a.jpg")


def test_a_half_written_with_six_digits_does_not_become_a_majority(tmp_path):
    """0.5 + 0.333333 + 0.166666 = 0.999999; normalised, the half would be 0.5000005."""
    (triplet,) = fec(tmp_path, ["a,b,c,0.5,0.333333,0.166666,T,train"]).triplets
    assert triplet.votes == (0.5, 0.333333, 0.166666)


def test_the_limit_counts_triplets(tmp_path):
    source = fec(tmp_path, ["a,b,c,0.1,0.2,0.7,T,train", "a,b,d,0.1,0.2,0.7,T,train"], limit=1)
    assert len(source.triplets) == 1 and len(source.pictures) == 3


# --- class folders


def test_class_numbers_are_alphabetical_over_all_splits(tmp_path):
    made.save(tmp_path / "train" / "rust" / "1.jpg")
    made.save(tmp_path / "test" / "healthy" / "2.jpg")
    source = read("folders", images=tmp_path)
    assert source.classes == ["healthy", "rust"]
    assert {p.id: (p.split, p.label) for p in source.pictures} == {
        "train/rust/1.jpg": ("train", 1),
        "test/healthy/2.jpg": ("test", 0),
    }
    assert "split 'train' has no pictures of 1 classes: healthy" in source.warnings[1]


def test_the_limit_is_spread_over_class_folders(tmp_path):
    """The first four files in alphabetical order would all be of one class."""
    for name in ("train/a", "train/b", "test/a", "test/b"):
        for number in range(3):
            made.save(tmp_path / name / f"{number}.png", number)
    source = read("folders", images=tmp_path, limit=4)
    assert {(p.split, p.label) for p in source.pictures} == {
        ("train", 0),
        ("train", 1),
        ("test", 0),
        ("test", 1),
    }


def test_folders_without_splits_are_train_or_divided(tmp_path):
    for number in range(20):
        made.save(tmp_path / "кошки" / f"пёс {number}.jpg")
    assert {p.split for p in read("folders", images=tmp_path).pictures} == {"train"}
    fractions = (("train", 0.5), ("test", 0.5))
    divided = read("folders", images=tmp_path, splits=Splits((), fractions))
    assert {p.split for p in divided.pictures} == {"train", "test"}
    assert divided.rejections == []


def test_empty_classes_empty_splits_and_stray_pictures_are_warned_about(tmp_path):
    made.class_folders(tmp_path, count=1)
    (tmp_path / "train" / "empty").mkdir()
    (tmp_path / "validation").mkdir()
    made.save(tmp_path / "stray.jpg")
    made.save(tmp_path / "train" / "stray.jpg")
    source = read("folders", images=tmp_path)
    said = "\n".join(source.warnings)
    assert "split 'train' has no pictures of 1 classes: empty" in said
    assert "folder 'validation' has no pictures" in said
    assert "2 pictures outside of class folders" in said
    assert len(source.pictures) == 4


def test_hidden_files_and_litter_are_passed_over(tmp_path):
    for name in (".DS_Store", "Thumbs.db", ".hidden/x.jpg", "ok.jpg"):
        made.save(tmp_path / "train" / "a" / "x.jpg")
        path = tmp_path / "train" / "a" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    source = read("folders", images=tmp_path)
    assert [p.id for p in source.pictures] == ["train/a/ok.jpg", "train/a/x.jpg"]


def test_splits_mixed_with_classes_are_an_error_that_names_both(tmp_path):
    (tmp_path / "train" / "a").mkdir(parents=True)
    (tmp_path / "cats").mkdir()
    with pytest.raises(DataError, match=r"mixes splits .train. with other folders .cats."):
        read("folders", images=tmp_path)


def test_fractions_for_folders_that_are_divided_are_an_error(tmp_path):
    made.class_folders(tmp_path, count=1)
    with pytest.raises(UsageError, match="are already splits: test, train"):
        read("folders", images=tmp_path, splits=Splits(("train",), (("train", 1.0),)))


def test_file_names_that_are_not_utf8_are_refused_one_by_one(tmp_path):
    made.save(tmp_path / "a" / "ok.jpg")
    made.save(tmp_path / "a" / "x.jpg").rename(os.fsdecode(os.fsencode(tmp_path) + b"/a/\xff.jpg"))
    source = read("folders", images=tmp_path)
    assert reasons(source) == [(None, "picture", "bad_id")]
    assert source.rejections[0].to_json().isascii()
    assert [p.id for p in source.pictures] == ["a/ok.jpg"]


@pytest.mark.parametrize("kind", ["folders", "fec", "idx"])
def test_a_picture_folder_is_required_and_named(tmp_path, kind):
    with pytest.raises(UsageError, match="--images is required"):
        read(kind, csv="x.csv")
    with pytest.raises(DataError, match=r"--images='.*/gone' does not exist"):
        read(kind, csv="x.csv", images=tmp_path / "gone")


# --- a table of labels


def labelled(tmp_path, *rows, header="path,label,split"):
    for name in ("a.jpg", "sub/б в.jpg", "c,d.jpg"):
        made.save(tmp_path / "images" / name)
    table = made.write_table(tmp_path / "t.csv", [header, *rows])
    return read("csv", csv=table, images=tmp_path / "images")


def test_paths_are_relative_to_the_folder_or_lie_in_it(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "images")
    source = labelled(
        tmp_path, "a.jpg,x,train", f"{link}/sub/б в.jpg,y,val", '"./c,d.jpg",x,testing'
    )
    assert [(p.id, p.split, p.label) for p in source.pictures] == [
        ("a.jpg", "train", 0),
        ("sub/б в.jpg", "validation", 1),
        ("c,d.jpg", "test", 0),
    ]
    assert source.rejections == []


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("../t.csv,x,train", (3, "picture", "outside_folder")),
        ("/etc/passwd,x,train", (3, "picture", "outside_folder")),
        ("gone.jpg,x,train", (3, "picture", "missing_picture")),
        (",x,train", (3, "table", "bad_id")),
        ("sub/б в.jpg,,train", (3, "table", "bad_label")),
        ("sub/б в.jpg,x,fold1", (3, "table", "unknown_subset")),
        ("a.jpg,x,train", (3, "table", "duplicate_id")),
        ("./a.jpg,y,train", (3, "table", "conflicting_row")),
    ],
)
def test_a_bad_row_is_refused_with_its_line_and_reason(tmp_path, row, expected):
    source = labelled(tmp_path, "a.jpg,x,train", row)
    assert reasons(source) == [expected]
    assert [p.id for p in source.pictures] == ["a.jpg"]


# --- idx


def test_idx_files_plain_or_gzipped(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (5, 4, 3))
    made.write_idx(tmp_path / "train-images-idx3-ubyte", images)
    made.write_idx(tmp_path / "labels", np.array([3, 1, 0, 2, 1]))
    packed = gzip.compress((tmp_path / "labels").read_bytes())
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(packed)
    source = read("idx", images=tmp_path, limit=8)  # four of each split; there is no test
    assert source.classes == ["0", "1", "2", "3"]
    assert [(p.id, p.item, p.label) for p in source.pictures] == [
        ("train-00000", 0, 3),
        ("train-00001", 1, 1),
        ("train-00002", 2, 0),
        ("train-00003", 3, 2),
    ]
    assert "no split 'test'" in source.warnings[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\0\0\x08\x03\0\0", "is not an idx file"),
        (b"\0\0\x08\x01" + bytes(20), "is not an idx file"),
        (b"\0\0\x08\x03" + bytes(12), "has shape .0, 0, 0."),
        (b"\0\0\x08\x03\0\0\0\x02\0\0\0\x02\0\0\0\x02" + bytes(7), "but 7 bytes of data"),
    ],
)
def test_a_damaged_idx_file_is_named(tmp_path, content, message):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(content)
    made.write_idx(tmp_path / "train-labels-idx1-ubyte", np.zeros(2))
    with pytest.raises(DataError, match=message):
        read("idx", images=tmp_path)


def test_an_idx_file_is_unpacked_no_further_than_its_size_can_back(tmp_path, monkeypatch):
    header = b"\0\0\x08\x03" + struct.pack(">3i", 20, 1000, 1000)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + bytes(20 << 20)))
    made.write_idx(tmp_path / "train-labels-idx1-ubyte", np.zeros(20))
    with pytest.raises(DataError, match="but more bytes of data"):
        read("idx", images=tmp_path)
    monkeypatch.setattr(idx, "MAX_UNCHECKED_BYTES", 1 << 20)
    with pytest.raises(DataError, match="more than it can contain"):
        read("idx", images=tmp_path)


def test_as_many_labels_as_pictures_are_expected(tmp_path):
    made.write_idx(tmp_path / "train-images-idx3-ubyte", np.zeros((2, 3, 3)))
    made.write_idx(tmp_path / "train-labels-idx1-ubyte", np.zeros(3))
    with pytest.raises(DataError, match="has 2 pictures, but 3 labels"):
        read("idx", images=tmp_path)
