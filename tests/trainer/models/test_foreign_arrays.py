"""Arrays of strangers: numbers are read, no more than the file backs, and nothing is called."""

from __future__ import annotations

import os
import pickle
import zipfile

import h5py
import numpy as np
import pytest
import tensorflow as tf

from preprocess.shell.errors import ConfigError, DataError
from tests.trainer.models.test_models import MLP, built, configured
from trainer.inference.embedding import load_embeddings
from trainer.models.foreign_arrays import MAX_SMALL_BYTES, check_hdf5, load_npz
from trainer.training.checkpoints import LAST, Checkpoints
from trainer.training.session import Session

TERABYTE = 10**12
PACKED = MAX_SMALL_BYTES + (4 << 20)  # bytes, of zeros


class Call:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def write_npz(path, members):
    """An .npz of members' bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)


def npy(shape, dtype="<f4", body=b""):
    header = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode()
    header += b" " * (63 - (10 + len(header)) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + body


def test_what_numpy_wrote_is_read(tmp_path):
    values = {"a": np.arange(6.0).reshape(2, 3), "names": np.array(["x", "yy"])}
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", **values)
        found = load_npz(tmp_path / "a.npz")
        assert list(found) == list(values)
        for name, value in values.items():
            np.testing.assert_array_equal(found[name], value)
    np.savez(tmp_path / "none.npz")
    assert load_npz(tmp_path / "none.npz") == {}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(lambda: npy((TERABYTE,)), "has not the", id="claims a terabyte"),
        pytest.param(
            lambda: npy((PACKED,), "|u1", bytes(PACKED)),
            "claim to hold",
            id="packed",
        ),
        pytest.param(
            lambda: npy((1,), "|O", pickle.dumps([1])), "allow_pickle", id="Python objects"
        ),
        pytest.param(lambda: b"no array", "magic", id="no array"),
    ],
)
def test_an_array_that_the_file_does_not_back_is_refused(tmp_path, content, reason):
    write_npz(tmp_path / "a.npz", {"a": content()})
    assert (tmp_path / "a.npz").stat().st_size < 1 << 20
    with pytest.raises(ValueError, match=reason):
        load_npz(tmp_path / "a.npz")


def test_embeddings_of_a_stranger_call_nothing(tmp_path):
    called = tmp_path / "called"
    body = pickle.dumps(np.array([Call(called)], object))
    write_npz(tmp_path / "e.npz", {"embeddings": npy((1, 1), "|O", body)})
    with pytest.raises(DataError, match="not what `trainer embed` writes"):
        load_embeddings(str(tmp_path / "e.npz"))
    assert not called.exists()


def claims_a_terabyte(file, folder):
    file.create_dataset("x", (TERABYTE,), "f4", chunks=(1024,))


def is_packed(file, folder):
    file.create_dataset("x", data=np.zeros(PACKED, np.uint8), compression="gzip")


def reads_another_file(file, folder):
    (folder / "secret").write_bytes(bytes(400))
    file.create_dataset("x", (100,), "f4", external=[(str(folder / "secret"), 0, 400)])


def is_made_of_others(file, folder):
    layout = h5py.VirtualLayout((100,), "f4")
    layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "x", (100,))
    file.create_virtual_dataset("x", layout)


def leads_to_another_file(file, folder):
    file["x"] = h5py.ExternalLink(str(folder / "other.h5"), "/")


def is_a_ring_of_links(file, folder):
    file["layers"] = h5py.SoftLink("/")


@pytest.mark.parametrize("suffix", [".h5", ".weights.h5", ".keras"])
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (claims_a_terabyte, "claim to hold"),
        (is_packed, "claim to hold"),
        (reads_another_file, "in another file"),
        (is_made_of_others, "in another file"),
        (leads_to_another_file, "a link to another file"),
        (is_a_ring_of_links, "is a link"),
    ],
)
def test_weights_that_the_file_does_not_back_are_refused(tmp_path, suffix, spoil, reason):
    path = tmp_path / f"weights{suffix}"
    inside = tmp_path / "inside.h5"
    with h5py.File(inside, "w") as file:
        spoil(file, tmp_path)
    if suffix == ".keras":
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(inside, "model.weights.h5")
    else:
        inside.rename(path)
    with pytest.raises(ConfigError, match=rf"is not read: .*{reason}"):
        built(configured(weights=str(path), **MLP), 5)


def test_a_ring_of_groups_is_walked_once(tmp_path):
    """By hard links, which HDF5 allows: group `layers/a` has itself inside."""
    path = tmp_path / "ring.weights.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("layers/a")
        group["layers"] = file["layers"]
        check_hdf5(file, 1000)
    with pytest.raises(ConfigError, match="does not fit"):
        built(configured(weights=str(path), **MLP), 5)


def test_a_state_of_a_stranger_calls_nothing(tmp_path):
    """Its parts that numpy reads hold Python objects."""
    model = built(configured(**MLP), 5)
    session = Session(configured(**MLP), tf.distribute.get_strategy(), None, model, None)
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.save(LAST, session, {"step": 1, "epochs": 1})
    (state,) = checkpoints.states(LAST)
    called = tmp_path / "called"
    body = pickle.dumps(np.array([Call(called)], object))
    (values,) = state.glob("replicas*.npz")
    write_npz(values, {"a": npy((1,), "|O", body)})
    with pytest.raises(DataError, match="cannot be restored"):
        checkpoints.restore(state, session)
    assert not called.exists()


@pytest.mark.parametrize("name", ["state.index", "state.data-00000-of-00001", "replicas.npz", ""])
@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_a_state_is_read_from_plain_files_inside_of_its_run_only(tmp_path, name, kind):
    """TensorFlow would wait at a pipe for ever, and read wherever a link leads."""
    model = built(configured(**MLP), 5)
    session = Session(configured(**MLP), tf.distribute.get_strategy(), None, model, None)
    (tmp_path / "run").mkdir()
    checkpoints = Checkpoints(tmp_path / "run" / "checkpoints")
    checkpoints.save(LAST, session, {"step": 1, "epochs": 1})
    (state,) = checkpoints.states(LAST)
    spoilt = state / name
    spoilt.rename(tmp_path / "elsewhere")
    if kind == "link":
        spoilt.symlink_to(tmp_path / "elsewhere")
    elif name:
        os.mkfifo(spoilt)
    with pytest.raises(DataError, match=r"not read: it is a link|no last checkpoint"):
        checkpoints.load_weights(LAST, session)
