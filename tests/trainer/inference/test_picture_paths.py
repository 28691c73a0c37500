"""What `--images` may be; ram:// of TensorFlow's stands in for gs://."""

import os

import numpy as np
import pytest
import tensorflow as tf

from preprocess.shell.errors import DataError
from tests.trainer import datasets
from trainer.data.picture_files import UnreadablePicture, file_pixels
from trainer.inference.picture_paths import below, by_name, find_pictures, folder_of


@pytest.fixture
def folder(tmp_path):
    """a.png, deep/b.jpg, deep/er/c.JPG, and a text."""
    for name in ("a.png", "deep/b.jpg", "deep/er/c.JPG"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        datasets.picture(True, 1).save(path)
    (tmp_path / "notes.txt").write_text("not a picture\n")
    return tmp_path


def names(paths, folder):
    return [below(path, str(folder)) for path in paths]


def test_a_folder_with_all_that_is_nested_in_it(folder):
    found = find_pictures(str(folder))
    assert names(found, folder) == ["a.png", "deep/b.jpg", "deep/er/c.JPG"]


def test_one_file_whatever_its_name(folder):
    (folder / "a.png").rename(folder / "picture")
    assert find_pictures(str(folder / "picture")) == [str(folder / "picture")]
    assert folder_of(str(folder / "picture")) == str(folder)


def test_several_with_commas_between_them(folder):
    found = find_pictures(f"{folder}/deep/b.jpg,{folder}/a.png, {folder}/deep")
    assert names(found, folder) == ["deep/b.jpg", "a.png", "deep/b.jpg", "deep/er/c.JPG"]


def test_a_comma_in_a_name_is_one(folder):
    (folder / "a.png").rename(folder / "a, b.png")
    assert find_pictures(f"{folder}/a, b.png") == [f"{folder}/a, b.png"]


def test_a_list_is_relative_to_itself(folder, monkeypatch):
    monkeypatch.chdir("/")
    (folder / "list.txt").write_text(f"deep/b.jpg\n\n{folder}/a.png\ndeep\n", encoding="utf-8-sig")
    found = find_pictures(str(folder / "list.txt"))
    assert names(found, folder) == ["deep/b.jpg", "a.png", "deep/b.jpg", "deep/er/c.JPG"]


def test_files_and_folders_at_an_address(folder):
    for name in ("a.png", "deep/b.jpg"):
        place = f"ram://pictures/{name}"
        tf.io.gfile.makedirs(os.path.dirname(place))
        tf.io.gfile.GFile(place, "wb").write((folder / name).read_bytes())
    found = find_pictures("ram://pictures")
    assert found == ["ram://pictures/a.png", "ram://pictures/deep/b.jpg"]
    assert names(found, "ram://pictures") == ["a.png", "deep/b.jpg"]
    assert find_pictures("ram://pictures/a.png") == ["ram://pictures/a.png"]
    assert folder_of("ram://pictures/a.png") == folder_of("ram://pictures/") == "ram://pictures"
    expected = file_pixels(f"{folder}/a.png", 3)
    np.testing.assert_array_equal(file_pixels("ram://pictures/a.png", 3), expected)
    with pytest.raises(UnreadablePicture, match=r"ram://pictures/none.png"):
        file_pixels("ram://pictures/none.png", 3)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ("{}/none", "no such file or folder"),
        ("{}/a.png,{}/none", "no such file or folder"),
        ("{}/empty", "no pictures below"),
        ("{}/blank.txt", "lists no picture"),
        ("{}/bytes.txt", "not UTF-8"),
        ("{}/notes.txt", "'{}/not a picture': no such file"),
        ("ram://no/such", "cannot read 'ram://no/such'"),
    ],
)
def test_what_is_not_there_is_named(folder, images, words):
    (folder / "empty").mkdir()
    (folder / "blank.txt").write_text("\n\n")
    (folder / "bytes.txt").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(DataError) as caught:
        find_pictures(images.replace("{}", str(folder)))
    assert words.replace("{}", str(folder)) in str(caught.value)


def test_a_table_may_name_a_picture_by_its_path_or_its_name(folder):
    """Of two of a name the one nearer to the top is meant by the name alone."""
    datasets.picture(True, 1).save(folder / "b.jpg")
    known = by_name(find_pictures(str(folder)), str(folder))
    expected = {
        "a": "a.png",
        "a.png": "a.png",
        "b": "b.jpg",
        "deep/b": "deep/b.jpg",
        "deep/b.jpg": "deep/b.jpg",
        "c": "deep/er/c.JPG",
        "deep/er/c": "deep/er/c.JPG",
    }
    assert {name: below(known[name], str(folder)) for name in expected} == expected
