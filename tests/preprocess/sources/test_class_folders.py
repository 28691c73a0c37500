"""Class folders as people have them: leftovers, files beside pictures, layouts, spellings."""

from __future__ import annotations

import shutil
import unicodedata

import pytest

from preprocess.pictures.limits import FORMATS
from preprocess.shell.errors import DataError
from preprocess.sources import class_names, read_source, recognise
from preprocess.sources.leftovers import is_leftover
from preprocess.sources.picture_files import PICTURE_SUFFIXES, is_other_file
from preprocess.sources.rows import Request
from tests.preprocess import made


def read(images, **request):
    return read_source("folders", Request(images=str(images), **request))


def ids(source):
    return sorted(picture.id for picture in source.pictures)


def two_classes(root, below=""):
    for name in ("cat", "dog"):
        made.save(root / below / name / "1.jpg")
    return root


# --- what systems leave behind


@pytest.mark.parametrize(
    "folder",
    [
        *("__MACOSX", "lost+found", "System Volume Information", "$RECYCLE.BIN", "@eaDir"),
        *("#recycle", "LOST.DIR", "found.000", "~snapshot"),
    ],
)
@pytest.mark.parametrize("below", ["", "train"])
def test_what_systems_leave_behind_is_neither_class_nor_split(tmp_path, folder, below):
    two_classes(tmp_path, below)
    made.save(tmp_path / below / folder / "cat" / "._1.jpg")
    made.save(tmp_path / folder / "cat" / "deleted.jpg")
    source = read(tmp_path)
    assert source.classes == ["cat", "dog"]
    assert source.rejections == []


@pytest.mark.parametrize(
    "name", ["._1.jpg", "1.jpg:Zone.Identifier", "1.jpg@SynoEAStream", "Icon\r", "@eaDir/1.jpg"]
)
def test_leftovers_among_pictures_are_not_looked_at(tmp_path, name):
    made.save(tmp_path / "cat" / "1.jpg")
    made.save(tmp_path / "cat" / "x.png").rename(made.save(tmp_path / "cat" / "y" / "1.png"))
    path = tmp_path / "cat" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x")
    source = read(tmp_path)
    assert ids(source) == ["cat/1.jpg", "cat/y/1.png"]
    assert source.counted == 2


def test_what_editors_keep_of_before_is_counted_as_no_pictures(tmp_path):
    """`1.jpg~` and `1.jpg.bak` would be the picture a second time."""
    two_classes(tmp_path)
    for name in ("1.jpg~", "1.PNG~", "1.jpg.bak", "1.jpg.orig"):
        (tmp_path / "cat" / name).write_bytes((tmp_path / "cat" / "1.jpg").read_bytes())
    source = read(tmp_path)
    assert ids(source) == ["cat/1.jpg", "dog/1.jpg"] and source.rejections == []
    assert any("4 files next to the pictures" in warning for warning in source.warnings)


def test_a_link_to_a_file_that_is_not_there_is_called_that(tmp_path):
    """As git-annex and DVC leave them before the content is downloaded."""
    two_classes(tmp_path)
    (tmp_path / "cat" / "2.jpg").symlink_to(tmp_path / "cat" / "gone.jpg")
    (rejection,) = read(tmp_path).rejections
    assert rejection.reason == "missing_picture" and "git annex" in rejection.detail


@pytest.mark.parametrize("name", ["cat", "recycled", "Icons", "snapshot", "macosx", "a~"])
def test_names_that_a_person_may_give_are_no_leftovers(name):
    assert not is_leftover(name)


# --- files that are no pictures


def test_files_beside_pictures_are_counted_once_and_outside_the_budget(tmp_path):
    two_classes(tmp_path)
    for number, suffix in enumerate([".json", ".txt", ".TXT", ".md5", ".psd"]):
        (tmp_path / "cat" / f"{number}{suffix}").write_text("{}")
    source = read(tmp_path)
    assert ids(source) == ["cat/1.jpg", "dog/1.jpg"]
    assert (source.counted, source.rejections) == (2, [])
    (warning,) = [w for w in source.warnings if "were skipped" in w]
    assert warning.startswith("5 files next to the pictures") and "2 .txt" in warning


@pytest.mark.parametrize("name", ["notes", "x.jpg.part", "x.heic", "x.dat"])
def test_a_file_that_may_be_meant_as_a_picture_is_looked_at(tmp_path, name):
    two_classes(tmp_path)
    (tmp_path / "cat" / name).write_bytes(b"x")
    assert f"cat/{name}" in ids(read(tmp_path))


def test_the_limit_counts_pictures_and_not_the_files_beside_them(tmp_path):
    for number in range(3):
        made.save(tmp_path / "cat" / f"{number}.jpg")
        (tmp_path / "cat" / f"{number}.json").touch()
    assert ids(read(tmp_path, limit=2)) == ["cat/0.jpg", "cat/1.jpg"]


@pytest.mark.parametrize("below", ["", "train"])
def test_a_folder_of_annotations_is_no_class(tmp_path, below):
    two_classes(tmp_path, below)
    (tmp_path / below / "annotations").mkdir()
    (tmp_path / below / "annotations" / "1.xml").touch()
    source = read(tmp_path)
    assert source.classes == ["cat", "dog"]
    assert any("not classes: annotations" in warning for warning in source.warnings)


def test_a_folder_of_annotations_may_lie_beside_the_splits(tmp_path):
    two_classes(tmp_path, "train")
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "classes.txt").touch()
    source = read(tmp_path)
    assert source.classes == ["cat", "dog"]
    assert "folders without pictures were skipped: meta" in source.warnings


def test_every_suffix_of_the_formats_that_are_decoded_is_a_pictures():
    from PIL import Image

    suffixes = {s for s, format_ in Image.registered_extensions().items() if format_ in FORMATS}
    assert suffixes == set(PICTURE_SUFFIXES)
    assert not any(map(is_other_file, PICTURE_SUFFIXES))


# --- one level off


def test_one_folder_too_high_is_refused_with_the_right_one(tmp_path):
    two_classes(tmp_path / "archive", "train")
    two_classes(tmp_path / "archive", "valid")
    with pytest.raises(DataError, match=r"too high: it has 'archive' .*--images=.*/archive$"):
        read(tmp_path)


def test_one_folder_too_high_without_splits_is_warned_about(tmp_path):
    two_classes(tmp_path, "pictures")
    source = read(tmp_path)
    assert source.classes == ["pictures"]
    assert f"if the classes are cat, dog, set --images={tmp_path}/pictures" in source.warnings


@pytest.mark.parametrize("below", ["", "train"])
def test_one_folder_too_low_is_refused_with_the_right_one(tmp_path, below):
    two_classes(tmp_path, below)
    with pytest.raises(DataError, match=rf"too low. Set --images={tmp_path}$"):
        read(tmp_path / below / "cat")
    assert recognise(Request(images=str(tmp_path / below / "cat")))[0].name == "folders"


def test_pictures_without_class_folders_get_the_way_by_a_table(tmp_path):
    made.save(tmp_path / "a.jpg")
    with pytest.raises(DataError, match=r"no class folders.*--csv"):
        read(tmp_path)
    made.save(tmp_path / "sub" / "train" / "a.jpg")
    with pytest.raises(DataError, match=r"'train' in .* has pictures, but no class folders"):
        read(tmp_path / "sub")


def test_the_folder_of_one_split_says_that_others_lie_beside_it(tmp_path):
    two_classes(tmp_path, "train")
    two_classes(tmp_path, "val")
    source = read(tmp_path / "train")
    assert source.classes == ["cat", "dog"]
    assert any(f"--images={tmp_path} includes all splits" in w for w in source.warnings)


def test_splits_below_the_classes_are_warned_about(tmp_path):
    for name in ("cat/train", "cat/test", "dog/train", "dog/test"):
        made.save(tmp_path / name / "1.jpg")
    source = read(tmp_path)
    assert source.classes == ["cat", "dog"]
    assert any("are not used as splits" in warning for warning in source.warnings)


@pytest.mark.parametrize("name", ["train", "dev", "Test"])
def test_a_class_may_have_the_name_of_a_split(tmp_path, name):
    """Among class folders; the folder of a split has folders in it, that of a class pictures."""
    two_classes(tmp_path)
    made.save(tmp_path / name / "1.jpg")
    source = read(tmp_path)
    assert source.classes == sorted(["cat", "dog", name])
    assert {picture.split for picture in source.pictures} == {"train"}


# --- links


def test_links_out_of_the_folder_are_followed_where_asked(tmp_path):
    two_classes(tmp_path / "all")
    (tmp_path / "subset").mkdir()
    for name in ("cat", "dog"):
        (tmp_path / "subset" / name).symlink_to(tmp_path / "all" / name)
    refused = read(tmp_path / "subset")
    assert all("--follow_links" in r.detail for r in refused.rejections)
    assert len(refused.rejections) == 2
    source = read(tmp_path / "subset", follow_links=True)
    assert ids(source) == ["cat/1.jpg", "dog/1.jpg"]
    assert source.rejections == []


def test_links_to_folders_inside_classes_are_followed_or_warned_about(tmp_path):
    two_classes(tmp_path / "in")
    made.save(tmp_path / "more" / "2.jpg")
    (tmp_path / "in" / "cat" / "more").symlink_to(tmp_path / "more")
    assert any("'cat/more'; set --follow_links" in w for w in read(tmp_path / "in").warnings)
    assert "cat/more/2.jpg" in ids(read(tmp_path / "in", follow_links=True))


def test_links_in_a_circle_end(tmp_path):
    """cat/up leads to the root, and each/other back and forth."""
    two_classes(tmp_path)
    (tmp_path / "cat" / "self").symlink_to(tmp_path / "cat")
    (tmp_path / "cat" / "other").symlink_to(tmp_path / "dog")
    (tmp_path / "dog" / "other").symlink_to(tmp_path / "cat")
    (tmp_path / "dog" / "loop").symlink_to(tmp_path / "dog" / "loop")
    found = ids(read(tmp_path, follow_links=True))
    assert found == ["cat/1.jpg", "cat/other/1.jpg", "dog/1.jpg", "dog/other/1.jpg"]


# --- names of classes


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["10", "2", "1", "0"], ["0", "1", "2", "10"]),
        (["10", "9", "-1"], ["-1", "9", "10"]),
        (["02", "01", "10"], ["01", "02", "10"]),
        (["10", "2", "cat"], ["10", "2", "cat"]),
        (["2x", "10x"], ["10x", "2x"]),
        (["²", "10"], ["10", "²"]),
    ],
)
def test_whole_numbers_sort_by_value_and_all_else_by_letter(names, expected):
    assert class_names.ordered(names) == expected


def test_numbered_class_folders_have_their_own_numbers(tmp_path):
    for name in ("0", "1", "2", "10"):
        made.save(tmp_path / name / "1.jpg")
    source = read(tmp_path)
    assert source.classes == ["0", "1", "2", "10"]
    assert {picture.id: picture.label for picture in source.pictures}["10/1.jpg"] == 3


@pytest.mark.parametrize(
    "other", ["Cat", "CAT ", unicodedata.normalize("NFD", "cat"), "c at"], ids=ascii
)
def test_spellings_in_different_splits_are_one_class(tmp_path, other):
    two_classes(tmp_path, "train")
    made.save(tmp_path / "test" / other / "1.jpg")
    source = read(tmp_path)
    assert source.classes == ["cat", "dog"]
    assert {p.label for p in source.pictures if p.split == "test"} == {0}


def test_two_unicode_forms_are_one_class_and_said_in_escapes(tmp_path):
    composed, apart = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    made.save(tmp_path / "train" / composed / "1.jpg")
    made.save(tmp_path / "test" / apart / "1.jpg")
    source = read(tmp_path)
    assert source.classes == [composed]
    assert any(r"e\u0301" in warning for warning in source.warnings)


def test_spellings_in_one_split_stay_two_classes_with_a_warning(tmp_path):
    two_classes(tmp_path, "train")
    made.save(tmp_path / "train" / "Cat" / "1.jpg")
    source = read(tmp_path)
    assert source.classes == ["Cat", "cat", "dog"]
    assert any("'Cat', 'cat'" in w and "kept separate" in w for w in source.warnings)


# --- labels that a table beside the pictures has


def test_two_folders_too_high_is_refused_with_the_right_one(tmp_path):
    two_classes(tmp_path / "set" / "set", "train")
    two_classes(tmp_path / "set" / "set", "test")
    with pytest.raises(DataError, match=rf"2 levels too high.*--images={tmp_path}/set/set$"):
        read(tmp_path)


def test_two_folders_above_the_classes_the_classes_are_named(tmp_path):
    two_classes(tmp_path / "a", "b")
    assert f"if the classes are cat, dog, set --images={tmp_path}/a/b" in read(tmp_path).warnings


def test_a_folder_that_links_back_to_itself_does_not_lead_on_for_ever(tmp_path):
    (tmp_path / "loop").mkdir()
    (tmp_path / "loop" / "again").symlink_to(tmp_path / "loop")
    assert not any("again/again" in warning for warning in read(tmp_path).warnings)


def kaggle(folder, rows=("1,cat", "2,dog")):
    """train.csv with ids, train/ with their pictures, test/ and an example of what to submit."""
    for name in ("train/1", "train/2", "test/3"):
        made.save(folder / f"{name}.jpg")
    made.write_table(folder / "train.csv", ["image_id,label", *rows])
    made.write_table(folder / "sample_submission.csv", ["image_id,label", "3,cat"])
    return folder


def test_without_class_folders_the_table_beside_them_is_named_with_its_flags(tmp_path):
    flags = (
        f"--csv={tmp_path}/train.csv --images={tmp_path}/train --columns=path=image_id,label=label"
    )
    with pytest.raises(DataError, match=rf"'train.csv' has the labels: {flags}$"):
        read(kaggle(tmp_path))


def test_a_table_inside_the_folder_of_the_split_is_named(tmp_path):
    made.save(tmp_path / "train" / "1.jpg")
    made.write_table(tmp_path / "train" / "metadata.csv", ["path,label", "1.jpg,cat"])
    flags = f"--csv={tmp_path}/train/metadata.csv --images={tmp_path}/train$"
    with pytest.raises(DataError, match=flags):
        read(tmp_path)


def test_a_table_of_other_pictures_is_not_named(tmp_path):
    kaggle(tmp_path, rows=["7,cat", "8,dog"])
    with pytest.raises(DataError, match=r"a table path,label\[,split\]: --csv$"):
        read(tmp_path)


def test_folders_that_are_no_classes_are_warned_about_where_a_table_has_their_labels(tmp_path):
    """`train_images` is no split's name, and would be a class in silence."""
    for name in ("train_images/1", "test_images/2"):
        made.save(tmp_path / f"{name}.jpg")
    made.write_table(tmp_path / "train.csv", ["image_id,label", "1.jpg,4"])
    warnings = read(tmp_path).warnings
    assert any(f"--images={tmp_path}/train_images --columns=path=" in w for w in warnings)


def test_a_table_that_repeats_the_class_folders_is_no_matter(tmp_path):
    two_classes(tmp_path)
    name = next((tmp_path / "cat").iterdir()).name
    made.write_table(tmp_path / "labels.csv", ["path,label", f"{name},cat"])
    assert not read(tmp_path).warnings


def test_boxes_are_named_as_what_they_are(tmp_path):
    made.save(tmp_path / "train" / "1.jpg")
    (tmp_path / "train" / "_annotations.coco.json").write_text("{}")
    with pytest.raises(DataError, match=r"has boxes \(COCO\), which are not read: write a table"):
        read(tmp_path)


def test_an_archive_with_a_table_says_to_unpack_it(tmp_path):
    shutil.make_archive(str(tmp_path / "set"), "zip", kaggle(tmp_path / "set"))
    with pytest.raises(DataError, match=r"'train.csv' in the archive .* unpack it"):
        read(tmp_path / "set.zip")
