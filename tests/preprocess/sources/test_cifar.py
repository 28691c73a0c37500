"""CIFAR's files: both versions give the same pictures, and a pickle runs no code."""

from __future__ import annotations

import os
import pickle
import resource
import shutil
import tarfile

import numpy as np
import pytest

from preprocess.pictures.decode import decode
from preprocess.shell.errors import DataError, UsageError
from preprocess.sources import item_readers, read_source, recognise
from preprocess.sources.cifar_batches import unpickle
from preprocess.sources.rows import Request

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
ROWS = PIXELS.transpose(0, 3, 1, 2).reshape(6, -1)
LABELS = [1, 0, 1, 1, 0, 0]
NAMES = ["frog", "cat"]


def read(images, **request):
    return read_source("cifar", Request(images=str(images), **request))


def pickled(path, values):
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(pickle.dumps(values, protocol=2))


def binary(path, *label_columns, rows=ROWS):
    path.parent.mkdir(exist_ok=True)
    columns = [np.array(column, np.uint8)[:, None] for column in label_columns]
    path.write_bytes(np.hstack([*columns, rows]).tobytes())


def cifar_10(folder, version):
    """Four training pictures in two batches, two test pictures."""
    parts = {"data_batch_1": slice(0, 2), "data_batch_2": slice(2, 4), "test_batch": slice(4, 6)}
    for name, part in parts.items():
        if version == "binary":
            binary(folder / f"{name}.bin", LABELS[part], rows=ROWS[part])
        else:
            # As Python 2 wrote it: keys and names are bytes to Python 3.
            names = [f"p_{n}.png".encode() for n in range(6)][part]
            content = {b"data": ROWS[part], b"labels": LABELS[part], b"filenames": names}
            pickled(folder / name, content)
    if version == "binary":
        (folder / "batches.meta.txt").write_text("frog\ncat\n\n")
    else:
        pickled(folder / "batches.meta", {b"label_names": [b"frog", b"cat"]})
    (folder / "readme.html").write_text("<html>")
    return folder


def check(source):
    contents = list(item_readers.read_many([p.path for p in source.pictures]))
    images = [decode(content).image for content in contents]
    np.testing.assert_array_equal(images, PIXELS)
    assert source.classes == NAMES
    assert [p.label for p in source.pictures] == LABELS
    assert [p.split for p in source.pictures] == ["train"] * 4 + ["test"] * 2


@pytest.mark.parametrize("version", ["binary", "python"])
@pytest.mark.parametrize("place", ["folder", "parent", "archive"])
def test_both_versions_are_read_where_they_lie(tmp_path, version, place):
    folder = cifar_10(tmp_path / "cifar-10", version)
    images = {"folder": folder, "parent": tmp_path, "archive": tmp_path / "c.tar.gz"}[place]
    if place == "archive":
        with tarfile.open(images, "w:gz") as archive:
            archive.add(folder, "cifar-10")
        shutil.rmtree(folder)
    assert recognise(Request(images=str(images)))[0].name == "cifar"
    source = read(images)
    check(source)
    first = "train/cat/p_0.png" if version == "python" else "train/cat/data_batch_1-00000"
    assert source.pictures[0].id == first


@pytest.mark.parametrize("version", ["binary", "python"])
def test_cifar_100_has_fine_and_coarse_labels(tmp_path, version):
    coarse = [0] * 6
    if version == "binary":
        binary(tmp_path / "c" / "train.bin", coarse, LABELS)
        (tmp_path / "c" / "fine_label_names.txt").write_text("frog\ncat\n")
        (tmp_path / "c" / "coarse_label_names.txt").write_text("animal\n")
    else:
        content = {b"data": ROWS, b"coarse_labels": coarse, b"fine_labels": LABELS}
        pickled(tmp_path / "c" / "train", content)
        meta = {b"fine_label_names": [b"frog", b"cat"], b"coarse_label_names": [b"animal"]}
        pickled(tmp_path / "c" / "meta", meta)
    assert recognise(Request(images=str(tmp_path / "c")))[0].name == "cifar"
    assert [p.label for p in read(tmp_path / "c").pictures] == LABELS
    assert read(tmp_path / "c", columns=(("label", "coarse_labels"),)).classes == ["animal"]
    with pytest.raises(UsageError, match="this source has label=coarse_labels, fine_labels"):
        read(tmp_path / "c", columns=(("label", "x"),))


class Evil:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "evil",
    [Evil(print, ("x",)), Evil(eval, ("1",)), Evil(np.load, ("x",)), [{b"data": Evil(dict, ())}]],
)
def test_a_pickle_that_would_call_something_is_refused(tmp_path, evil):
    pickled(tmp_path / "c" / "data_batch_1", evil)
    with pytest.raises(DataError, match=r"it would call .*, which is not allowed"):
        read(tmp_path / "c")


def test_plain_arrays_of_either_numpy_are_taken():
    for values in (ROWS, np.arange(3)):
        np.testing.assert_array_equal(unpickle(pickle.dumps(values, protocol=2)), values)
    with pytest.raises(ValueError, match="not a pickle of plain data"):
        unpickle(b"\x80\x02cos\nsystem\n.")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("data_batch_1.bin", b"x" * 3072, "3072 bytes are not a multiple of .* 3073"),
        ("train.bin", b"x" * 3073, "not a multiple of .* 3074"),
        ("data_batch_1", b"no pickle", "not a pickle of plain data"),
        ("data_batch_1", pickle.dumps({}, 2), "a pickle without CIFAR's data"),
        ("data_batch_1", pickle.dumps({b"data": "x"}, 2), "a pickle without CIFAR's data"),
    ],
)
def test_damaged_files_say_what_they_are(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read(tmp_path)


def test_more_labels_than_pictures_and_two_versions_are_refused(tmp_path):
    pickled(tmp_path / "a" / "data_batch_1", {b"data": ROWS, b"labels": LABELS[:5]})
    with pytest.raises(DataError, match="numbers of labels"):
        read(tmp_path / "a")
    cifar_10(tmp_path / "b", "binary")
    cifar_10(tmp_path / "b", "python")
    with pytest.raises(DataError, match="both the Python and the binary version"):
        read(tmp_path / "b")


@pytest.mark.parametrize(
    "change",
    [
        {b"labels": None},
        {b"labels": [0, 10**6000]},
        {b"labels": [0, 2**63]},
        {b"labels": [0.5, 1]},
        {b"labels": b"ab"},
        {b"labels": [[0], [1]]},
    ],
)
def test_labels_that_are_no_numbers_are_bad_data(tmp_path, change):
    pickled(tmp_path / "c" / "data_batch_1", {b"data": ROWS[:2], b"labels": [0, 1], **change})
    with pytest.raises(DataError, match="labels"):
        read(tmp_path / "c")


@pytest.mark.parametrize("names", [None, 5, [10**12, 1], [b"a.png"], ["a.png", "b.png"]])
def test_names_that_are_none_are_made_up(tmp_path, names):
    values = {b"data": ROWS[:2], b"labels": np.array([0, 1]), b"filenames": names}
    pickled(tmp_path / "c" / "data_batch_1", values)
    assert [p.id for p in read(tmp_path / "c").pictures] == [
        "train/0/data_batch_1-00000",
        "train/1/data_batch_1-00001",
    ]


@pytest.mark.parametrize("data", [b"\x80\x02Nr\xff\xff\xff\xff.", b"\x80\x03B\xff\xff\xff\xffab."])
def test_a_pickle_of_a_few_bytes_takes_no_gigabytes(tmp_path, data):
    """The number of an object in C's table of them, and the length of a text."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (tmp_path / "data_batch_1").write_bytes(data)
    with pytest.raises(DataError, match="pickle"):
        read(tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


def test_a_pipe_in_place_of_a_batch_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "data_batch_1")
    with pytest.raises(DataError, match="not a regular file"):
        read(tmp_path)
