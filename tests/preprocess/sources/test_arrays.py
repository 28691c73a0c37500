"""NumPy arrays of pictures and labels, and what of them is refused."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from preprocess.pictures.decode import decode
from preprocess.shell.errors import DataError, UsageError
from preprocess.sources import array_rows, item_readers, read_source, recognise
from preprocess.sources.rows import Request

GREY = np.random.default_rng(0).integers(0, 256, (6, 9, 7), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (6, 9, 7, 3), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2])


def read(images, kind="arrays", **request):
    return read_source(kind, Request(images=str(images), **request))


def pixels(source):
    """(split, class, pixels) of each picture, in order."""
    contents = item_readers.read_many([p.path for p in source.pictures])
    return [
        (p.split, source.classes[p.label], decode(content).image)
        for p, content in zip(source.pictures, contents, strict=True)
    ]


def same(source, images, labels, split="train"):
    rows = [row for row in pixels(source) if row[0] == split]
    np.testing.assert_array_equal([row[2] for row in rows], images.reshape(*images.shape[:3], -1))
    assert [row[1] for row in rows] == [str(label) for label in labels]
    return True


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("X-train", "y-train", "X-test", "y-test"),
    ],
)
def test_arrays_pair_by_their_names(tmp_path, save, names):
    arrays = (COLOUR, LABELS, GREY, LABELS[::-1])
    save(tmp_path / "all.npz", **dict(zip(names, arrays, strict=True)))
    source = read(tmp_path / "all.npz")
    assert same(source, COLOUR, LABELS)
    assert same(source, GREY, LABELS[::-1], "test")
    assert recognise(Request(images=str(tmp_path)))[0].name == "arrays"


def test_arrays_build_what_their_pictures_as_class_folders_build(tmp_path):
    """As PNG of the same size, whose ids only have a suffix more."""
    from PIL import Image

    np.savez(tmp_path / "a.npz", x_train=GREY, y_train=LABELS)
    for number, (picture, label) in enumerate(zip(GREY, LABELS, strict=True)):
        path = tmp_path / "folders" / "train" / str(label) / f"{number:07d}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path, "PNG")
    folders = read(tmp_path / "folders", "folders")
    arrays = read(tmp_path / "a.npz")
    assert arrays.classes == folders.classes
    assert sorted((p.id, p.label) for p in arrays.pictures) == sorted(
        (p.id, p.label) for p in folders.pictures
    )
    by_id = dict(zip([p.id for p in folders.pictures], pixels(folders), strict=True))
    for picture, (_, _, image) in zip(arrays.pictures, pixels(arrays), strict=True):
        np.testing.assert_array_equal(image, by_id[picture.id][2])


def test_files_of_a_split_each(tmp_path):
    for split, images in (("train", COLOUR), ("test", COLOUR[::-1])):
        np.savez(tmp_path / f"{split}.npz", images, LABELS)  # arr_0 and arr_1
        (tmp_path / split).mkdir()
        np.save(tmp_path / split / "images.npy", images)
        np.save(tmp_path / split / "labels.npy", LABELS)
    assert same(read(tmp_path / "train"), COLOUR, LABELS)
    for split in ("train", "test"):
        (tmp_path / split / "images.npy").unlink()
        (tmp_path / split / "labels.npy").unlink()
    assert same(read(tmp_path), COLOUR[::-1], LABELS, "test")


@pytest.mark.parametrize(
    "stored",
    [
        COLOUR.astype(np.int64),
        COLOUR.astype(np.float32),
        (COLOUR / 255).astype(np.float64),
        (COLOUR / 255).astype(np.float32),
        COLOUR.transpose(0, 3, 1, 2),
        np.asfortranarray(COLOUR),
    ],
)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_pixels_of_other_types_and_layouts_come_out_the_same(tmp_path, stored, save):
    save(tmp_path / "a.npz", images=stored, labels=LABELS)
    assert same(read(tmp_path / "a.npz"), COLOUR, LABELS)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (np.array([["b"], ["a"]] * 3), ["a", "b"]),
        (np.array([b"b", b"a"] * 3), ["a", "b"]),
        (np.eye(3)[LABELS], ["0", "1", "2"]),
        (LABELS[:, None].astype(np.uint8), ["0", "1", "2"]),
    ],
)
def test_labels_are_numbers_names_or_one_hot(tmp_path, labels, classes):
    np.savez(tmp_path / "a.npz", images=GREY, labels=labels)
    source = read(tmp_path / "a.npz")
    assert source.classes == classes
    assert len(source.pictures) == 6


def test_arrays_of_other_names_are_given(tmp_path):
    np.savez(tmp_path / "a.npz", leaves=COLOUR, kind=LABELS, mask=GREY)
    with pytest.raises(DataError, match=r"cannot be paired: there are leaves, kind, mask"):
        read(tmp_path / "a.npz")
    columns = (("image", "leaves"), ("label", "kind"))
    assert same(read(tmp_path / "a.npz", columns=columns), COLOUR, LABELS)
    with pytest.raises(UsageError, match="this source has image, label"):
        read(tmp_path / "a.npz", columns=(("path", "x"),))


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (GREY, LABELS[:5], "has 6 pictures, but 'labels' 5 labels"),
        (GREY.reshape(6, -1), LABELS, r"is uint8\[6, 63\]; pictures must be"),
        (np.zeros((6, 9, 7, 4), np.uint8), LABELS, "reshape it"),
        (GREY.astype(np.float32) * 3, LABELS, "with values from 0 to 765"),
        (GREY / 127.5 - 1, LABELS, "with values from -1 to 1; pixels must be 0 to 255"),
        (np.full((6, 9, 7), np.nan), LABELS, "with values from -inf to inf"),
        (GREY, LABELS + 0.5, "labels must be integers or names"),
    ],
)
def test_arrays_that_are_no_pictures_say_what_they_are(tmp_path, images, labels, message):
    np.savez(tmp_path / "a.npz", images=images, labels=labels)
    with pytest.raises(DataError, match=message):
        read(tmp_path / "a.npz")


class Evil:
    def __reduce__(self):
        return (open, ("/tmp/shardline-was-here", "w"))


def test_python_objects_are_never_loaded(tmp_path):
    np.savez(tmp_path / "a.npz", images=GREY, labels=np.array([Evil()] * 6, object))
    with pytest.raises(DataError, match="it holds Python objects"):
        read(tmp_path / "a.npz")
    np.savez_compressed(tmp_path / "a.npz", images=GREY, labels=np.array([Evil()] * 6, object))
    with pytest.raises(DataError, match="it holds Python objects"):
        read(tmp_path / "a.npz")


@pytest.mark.parametrize("name", ["a.npz", "a.npy"])
def test_what_is_no_array_says_so(tmp_path, name):
    (tmp_path / name).write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(DataError, match=r"is not an \.npz file|cannot be read|cannot be paired"):
        read(tmp_path / name)


def test_a_row_that_went_away_is_an_error_of_that_picture(tmp_path):
    np.savez(tmp_path / "a.npz", images=GREY, labels=LABELS)
    source = read(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", images=GREY[:2], labels=LABELS[:2])
    contents = list(item_readers.read_many([p.path for p in source.pictures]))
    assert [isinstance(content, OSError) for content in contents] == [False] * 2 + [True] * 4


def test_arrays_on_an_object_store_are_to_be_copied(bucket, tmp_path):
    from preprocess import storage

    np.savez(tmp_path / "a.npz", images=GREY, labels=LABELS)
    storage.write_bytes(f"{bucket}/d/a.npz", (tmp_path / "a.npz").read_bytes())
    with pytest.raises(DataError, match="must be on a local disk"):
        read(f"{bucket}/d")


def npy(path, shape, body=b""):
    """A file that claims a shape."""
    header = repr({"descr": "|u1", "fortran_order": False, "shape": shape}).encode()
    header += b" " * (63 - (10 + len(header)) % 64) + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + body)


@pytest.mark.parametrize("shape", [(), (-1, 9, 7), (10**15, 9, 7), (True, 9, 7), (2**62,) * 3])
@pytest.mark.parametrize("kind", ["x_train", "y_train"])
def test_arrays_of_absurd_shapes_are_bad_data(tmp_path, shape, kind):
    np.save(tmp_path / "x_train.npy", GREY)
    np.save(tmp_path / "y_train.npy", LABELS)
    npy(tmp_path / f"{kind}.npy", shape, bytes(500))
    with pytest.raises(DataError, match=kind):
        read(tmp_path)


def test_an_array_that_was_packed_a_thousandfold_is_not_unpacked(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "a.npz", x_train=np.zeros((6, 500, 500), "u1"), y_train=LABELS)
    assert len(read(tmp_path).pictures) == 6  # blank pictures, but few
    monkeypatch.setattr(array_rows, "MAX_UNCHECKED_BYTES", 1 << 20)
    array_rows._loaded.cache_clear()
    with pytest.raises(DataError, match="unpacks to more than 200 times its size"):
        read(tmp_path)
