"""Names in tables and the files that they mean, for both sources that have a table."""

from __future__ import annotations

import dataclasses
import unicodedata

import pytest

from preprocess.sources import read_source
from preprocess.sources.folder import open_folder
from preprocess.sources.look_up import LookUp
from preprocess.sources.near_names import nearest_names
from preprocess.sources.refusals import Refused
from preprocess.sources.rows import Request
from tests.preprocess import made

COMPOSED = "é.jpg"
DECOMPOSED = unicodedata.normalize("NFD", COMPOSED)


def folder(tmp_path, *names):
    for name in names:
        path = tmp_path / "img" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / "img").mkdir(exist_ok=True)
    return LookUp(open_folder(str(tmp_path / "img"), "--images"))


def refusal(look_up, name):
    with pytest.raises(Refused) as caught:
        look_up.find(name)
    return caught.value


@pytest.mark.parametrize(
    ("name", "file", "kind"),
    [
        ("1", "1.jpg", "with a suffix"),
        ("1.jpg", "1.png", "with another suffix"),
        ("1.jpg", "1", "with another suffix"),
        ("1.jpg", "1.JPG", "in another case"),
        ("a/1.jpg", "A/1.jpg", "in another case"),
        (r"a\1.jpg", "a/1.jpg", r"with / for \ between folders"),
        (r".\a\1.jpg", "a/1.jpg", r"with / for \ between folders"),
        (COMPOSED, DECOMPOSED, "in another Unicode form"),
        (DECOMPOSED, COMPOSED, "in another Unicode form"),
        (r"A\1", "a/1.webp", r"with / for \ between folders and with a suffix and in another case"),
        ("v1.5", "v1.5.jpg", "with a suffix"),
    ],
)
def test_a_name_in_another_spelling_is_found_and_counted(tmp_path, name, file, kind):
    look_up = folder(tmp_path, file, "other.jpg", "other.txt")
    assert look_up.find(name).name == file
    assert look_up.spellings == {kind: 1}
    (warning,) = look_up.warnings()
    assert warning.startswith(f"1 pictures were found {kind}, such as") and file in warning


@pytest.mark.parametrize("name", ["1.jpg", "a/2.jpg", "./a/2.jpg", r"odd\name.jpg", "3.data"])
def test_an_exact_name_is_taken_without_a_warning(tmp_path, name):
    files = ["1.jpg", "1.png", "a/2.jpg", "A/2.jpg", r"odd\name.jpg", "odd/name.jpg", "3.data"]
    look_up = folder(tmp_path, *files)
    assert look_up.find(name).name == name.removeprefix("./")
    assert look_up.spellings == {} and list(look_up.warnings()) == []


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("1", ["1.jpg", "1.png"]),
        ("1.jpg", ["1.png", "1.JPG"]),  # another suffix and another case are equally near
        ("1.jpg", ["1.JPG", "1.Jpg"]),
        ("1.gif", ["1.jpg", "1.png"]),
    ],
)
def test_where_two_files_fit_neither_is_taken(tmp_path, name, files):
    refused = refusal(folder(tmp_path, *files), name)
    assert refused.reason == "ambiguous_name"
    assert all(file in refused.detail for file in files)


def test_an_id_without_suffix_keeps_its_case_where_cases_matter(tmp_path):
    """Ids in base64 differ by case alone."""
    look_up = folder(tmp_path, "aB.jpg", "ab.jpg")
    assert [look_up.find(name).name for name in ("aB", "ab")] == ["aB.jpg", "ab.jpg"]


def test_captions_and_leftovers_are_never_the_picture_of_a_name(tmp_path):
    look_up = folder(tmp_path, "1.txt", "1.json", "._1.jpg", "2.txt")
    assert refusal(look_up, "1").reason == "missing_picture"
    assert refusal(look_up, "2.jpg").reason == "missing_picture"


@pytest.mark.parametrize(
    ("name", "detail"),
    [
        ("cat_001.jpg", "no such file; is it 'cat_01.jpg'?"),
        ("dgo/1.jpg", "no folder 'dgo' in --images; is it 'dog'?"),
        ("dog/11.jpg", "no such file; is it 'dog/1.jpg'?"),
        ("zebra", "no such file"),
    ],
)
def test_a_miss_names_the_nearest(tmp_path, name, detail):
    look_up = folder(tmp_path, "cat_01.jpg", "cat_02.jpg", "dog/1.jpg")
    assert refusal(look_up, name).detail == detail


@pytest.mark.parametrize(
    "name", ["https://example.org/1.jpg", "HTTP://example.org/1", "s3://bucket/1.jpg", "data:,x"]
)
def test_what_is_no_file_is_called_what_it_is(tmp_path, name):
    assert "URL" in refusal(folder(tmp_path, "1.jpg"), name).detail


def test_links_do_not_lead_out_under_another_spelling_either(tmp_path):
    made.save(tmp_path / "outside" / "1.jpg")
    look_up = folder(tmp_path)
    (tmp_path / "img" / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "img" / "one.jpg").symlink_to(tmp_path / "outside" / "1.jpg")
    for name in ("LINK/1.jpg", "link/1", "ONE.jpg", r"..\outside\1.jpg", r"x\..\..\outside\1.jpg"):
        assert refusal(look_up, name).reason == "outside_folder", name


def test_the_nearest_of_very_many_names_is_found():
    names = [f"p{number:06d}.jpg" for number in range(100_000)]
    assert nearest_names("p012345.jpeg", names) == ["p012345.jpg"]
    assert nearest_names("zebra", names) == []


# --- folders one off, for a table


@pytest.mark.parametrize(
    ("images", "name", "hint"),
    [
        ("data/pictures", "pictures/1.jpg", "set --images={root}/data"),
        ("data", "1.jpg", "set --images={root}/data/pictures"),
        ("data", "/content/drive/pictures/1.jpg", "begin with '/content/drive/'"),
        ("data/pictures", r"C:\me\pictures\1.jpg", "begin with 'C:/me/pictures/'"),
    ],
)
def test_images_a_folder_off_names_the_folder(tmp_path, images, name, hint):
    made.save(tmp_path / "data" / "pictures" / "1.jpg")
    table = made.write_table(tmp_path / "t.csv", ["path,label", f"{name},a"])
    source = read_source("csv", Request(csv=str(table), images=str(tmp_path / images)))
    assert [r.stage for r in source.rejections] == ["picture"]
    assert hint.format(root=tmp_path) in " ".join(source.warnings)


def test_one_missing_picture_among_many_asks_for_no_other_folder(tmp_path):
    for name in ("img/1.jpg", "img/2.jpg", "3.jpg"):
        made.save(tmp_path / name)
    rows = ["path,label", "1.jpg,a", "2.jpg,b", "3.jpg,a"]
    table = made.write_table(tmp_path / "t.csv", rows)
    source = read_source("csv", Request(csv=str(table), images=str(tmp_path / "img")))
    assert len(source.pictures) == 2 and source.warnings == []


# --- the same in both sources


def test_a_table_of_labels_knows_pictures_by_their_files(tmp_path):
    """`1` and `1.jpg` are one picture: the second row repeats it, the third contradicts it."""
    made.save(tmp_path / "1.jpg")
    table = made.write_table(tmp_path / "t.csv", ["path,label", "1,a", "1.jpg,a", "1.JPG,b"])
    source = read_source("csv", Request(csv=str(table)))
    assert [picture.id for picture in source.pictures] == ["1.jpg"]
    assert [(r.line, r.reason) for r in source.rejections] == [
        (3, "duplicate_id"),
        (4, "conflicting_row"),
    ]
    assert source.spellings == {"with a suffix": 1, "in another case": 1}


def test_faces_are_found_in_subfolders_and_under_other_spellings(tmp_path):
    """Four spellings of three faces: the second triplet has one of them twice."""
    folder(tmp_path, "p/a.jfif", "p/B.pgm", f"p/{DECOMPOSED}")
    rows = [r"p/a,p\b,p/é,0.5,0.25,0.25,T,train", "p/a.jfif,p/a,p/B,0.5,0.25,0.25,T,train"]
    table = made.write_table(tmp_path / "t.csv", [made.HEADER, *rows])
    source = read_source("fec", Request(csv=str(table), images=str(tmp_path / "img")))
    assert sorted(p.id for p in source.pictures) == sorted(["p/a", "p/B", f"p/{DECOMPOSED[:-4]}"])
    assert [(r.line, r.reason) for r in source.rejections] == [(3, "same_face_twice")]


def test_an_id_with_several_suffixes_takes_the_first_with_a_warning(tmp_path):
    for name in ("a.png", "a.jpg", "b.png", "c.jpg"):
        made.save(tmp_path / "faces" / name)
    table = made.write_table(tmp_path / "t.csv", [made.HEADER, "a,b,c,0.5,0.25,0.25,T,train"])
    source = read_source("fec", Request(csv=str(table), images=str(tmp_path / "faces")))
    assert [p.path.rsplit("/", 1)[1] for p in source.pictures] == ["a.jpg", "b.png", "c.jpg"]
    (warning,) = source.warnings
    assert "1 ids have pictures of several suffixes; used was a.jpg of a.jpg, a.png" in warning


# --- labels of a table


def test_labels_that_are_whole_numbers_are_classes_by_value(tmp_path):
    rows = [f"{number}.jpg,{number}" for number in (0, 2, 10)]
    for number in (0, 2, 10):
        made.save(tmp_path / f"{number}.jpg")
    table = made.write_table(tmp_path / "t.csv", ["path,label", *rows])
    source = read_source("csv", Request(csv=str(table)))
    assert source.classes == ["0", "2", "10"]
    assert [picture.label for picture in source.pictures] == [0, 1, 2]


def test_labels_in_two_spellings_are_one_class_in_different_splits_only(tmp_path):
    for number in range(4):
        made.save(tmp_path / f"{number}.jpg")
    rows = ["0.jpg,Cat,train", "1.jpg,dog;tree,train", "2.jpg,cat,test", "3.jpg,dog;tree,test"]
    table = made.write_table(tmp_path / "t.csv", ["path,label,split", *rows])
    source = read_source("csv", Request(csv=str(table)))
    assert source.classes == ["Cat", "dog;tree"]
    assert [picture.label for picture in source.pictures] == [0, 1, 0, 1]
    said = " ".join(source.warnings)
    assert "merged into one class, 'Cat'" in said and "several labels of one picture" in said


# --- links


@pytest.mark.parametrize("kind", ["folders", "csv", "fec"])
def test_links_that_are_refused_name_the_flag_that_follows_them(tmp_path, kind):
    """A subset of a larger set made with ln -s: of class folders, and of files."""
    for name in "abc":
        made.save(tmp_path / "store" / "cat" / f"{name}.jpg")
    (tmp_path / "in").mkdir()
    for name in "abc":
        (tmp_path / "in" / f"{name}.jpg").symlink_to(tmp_path / "store" / "cat" / f"{name}.jpg")
    (tmp_path / "in" / "cat").symlink_to(tmp_path / "store" / "cat")
    rows = {"csv": ["path,label", "a.jpg,x", "b.jpg,y", "c.jpg,x"]}
    rows["fec"] = [made.HEADER, "a,b,c,0.5,0.25,0.25,T,train"]
    table = str(made.write_table(tmp_path / "t.csv", rows[kind])) if kind in rows else ""
    request = Request(csv=table, images=str(tmp_path / "in"))
    source = read_source(kind, request)
    assert {r.reason for r in source.rejections} == {"outside_folder"}
    (warning,) = [w for w in source.warnings if "links" in w]
    assert warning.startswith("3 pictures were rejected") and "--follow_links" in warning
    followed = read_source(kind, dataclasses.replace(request, follow_links=True))
    assert (len(followed.pictures), followed.rejections) == (3, [])
