"""Embeddings: what is read of the file they are kept in, and words on what was left out."""

import numpy as np
import pytest

from preprocess.shell.errors import DataError
from trainer.inference.embedding import load_embeddings, words_of_unreadable
from trainer.inference.serving import Item


@pytest.mark.parametrize(("count", "lines"), [(0, 0), (20, 20), (21, 21), (500, 21)])
def test_of_many_unreadable_pictures_the_first_are_named(count, lines):
    told = words_of_unreadable([Item(f"{n}.jpg", None, "cut") for n in range(count)])
    assert len(told) == lines
    if count > 20:
        assert told[-1] == f"left out: {count - 20} more"
    if count:
        assert told[0] == "left out: 0.jpg: cut"


WHOLE = {
    "embeddings": np.zeros((1, 3)),
    "ids": np.array(["a"]),
    "numbers": np.array([0]),
    **{name: np.array("x") for name in ("metric", "weights_digest", "images", "split")},
}


@pytest.mark.parametrize(
    "change",
    [
        {"ids": np.array([5])},
        {"numbers": np.array(["x"])},
        {"images": np.array(7)},
        {"labels": np.zeros(4, int)},
        {"splits": np.array("train")},
    ],
)
def test_arrays_of_other_kinds_are_refused(tmp_path, change):
    np.savez(tmp_path / "a.npz", **WHOLE)
    assert load_embeddings(str(tmp_path / "a.npz")).keys() == WHOLE.keys()
    np.savez(tmp_path / "a.npz", **{**WHOLE, **change})
    with pytest.raises(DataError, match="not what `trainer embed` writes"):
        load_embeddings(str(tmp_path / "a.npz"))


@pytest.mark.parametrize("kind", ["missing", "text", "npy", "foreign", "unlike"])
def test_what_embed_did_not_write_is_refused(tmp_path, kind):
    path = tmp_path / "a.npz"
    if kind == "text":
        path.write_text("no archive")
    elif kind == "npy":
        with open(path, "wb") as file:
            np.save(file, np.zeros(3))
    elif kind == "foreign":
        np.savez(path, a=np.zeros(3))
    elif kind == "unlike":
        np.savez(path, embeddings=np.zeros((2, 3)), ids=["a"], numbers=[0])
    with pytest.raises(DataError, match=r"a\.npz' is not what `trainer embed` writes"):
        load_embeddings(str(path))
