"""embed and neighbours as a user runs them, and their numbers against each other."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from preprocess.dataset_format import ImageKey
from preprocess.shell.errors import DataError, UsageError
from tests.trainer import datasets
from tests.trainer.conftest import train_in_process
from tests.trainer.inference.conftest import serving_of
from trainer.inference import neighbours
from trainer.inference.embedding import EmbeddingFile, embed, load_embeddings
from trainer.inference.gallery import open_gallery

pytestmark = pytest.mark.slow


def command(name, *flags):
    """The one JSON object that a command prints, and its talk."""
    done = datasets.command("trainer", name, *flags, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def embedded(serving, images, folder, split=""):
    """(what embed() says, the arrays of its file)."""
    path = str(folder / "a.npz")
    gallery = open_gallery(serving, str(images), split)
    done = embed(serving, gallery, EmbeddingFile(path), folder)
    return done, load_embeddings(path)


def test_embeddings_of_a_dataset_have_ids_and_splits(triplets, triplet_data, tmp_path):
    done, file = embedded(triplets, triplet_data, tmp_path)
    assert done.pictures == 40 and done.unreadable == []
    assert file["embeddings"].shape == (40, 4) and file["embeddings"].dtype == np.float32
    assert len(set(file["ids"].tolist())) == 40
    assert set(file["splits"].tolist()) == {"train", "test"}
    assert "labels" not in file and file["metric"].item() == "squared distance"
    # model.scale is 1: embeddings lie on the sphere.
    np.testing.assert_allclose(np.linalg.norm(file["embeddings"], axis=1), 1, rtol=1e-5)


def test_embeddings_of_a_split_of_classes_have_their_labels(classes, class_data, tmp_path):
    """96 features of the `cnn` in front of the last layer."""
    _, file = embedded(classes, class_data, tmp_path, "test")
    assert file["metric"].item() == "cosine distance" and file["embeddings"].shape == (10, 96)
    assert file["splits"].tolist() == ["test"] * 10
    for name, label in zip(file["ids"], file["labels"], strict=True):
        assert file["classes"][label] == Path(name).parent.name


def test_a_dataset_and_its_files_have_the_same_embeddings(triplets, triplet_data, tmp_path):
    """Faces of 112 pixels, stored at 32 as PNG: resizing agrees to a grey level of 255.

    A level more on every pixel moves an embedding of length 1 by about a hundredth.
    """
    faces = Path(triplet_data).parent / "synth" / "images_cropped"
    _, stored = embedded(triplets, triplet_data, tmp_path)
    _, files = embedded(triplets, faces, tmp_path)
    rows = dict(zip(files["ids"].tolist(), files["embeddings"], strict=True))
    same = np.array([rows[f"{name}.jpg"] for name in stored["ids"].tolist()])
    np.testing.assert_allclose(same, stored["embeddings"], atol=0.01)


def test_the_command_names_the_unreadable_files_and_goes_on(class_runs, pictures, tmp_path):
    result, said = command(
        "embed",
        f"--workdir={class_runs[0]}",
        f"--images={pictures}",
        f"--output={tmp_path / 'a.npz'}",
    )
    file = load_embeddings(str(tmp_path / "a.npz"))
    assert result["pictures"] == 5 and result["dimensions"] == 96
    assert sorted(each["id"] for each in result["unreadable"]) == ["cut.jpg", "no.png"]
    assert all(each["problem"] for each in result["unreadable"])
    lines = said.splitlines()
    assert len(lines) == 2
    assert any(line.startswith("left out: no.png: begins with 6e 6f 20") for line in lines)
    labels = dict(zip(file["ids"].tolist(), file["labels"].tolist(), strict=True))
    assert labels == {
        "bright/0.png": 0, "dark/1.jpg": 1, "bright/2.png": 0, "dark/3.jpg": 1,
        "grey <b>\ttab.jpg": -1,
    }  # fmt: skip
    # In order: bright/0, bright/2, cut, dark/1, dark/3, grey, no.
    assert file["numbers"].tolist() == [0, 1, 3, 4, 5]
    folder = Path(result["projector"])
    assert folder == Path(class_runs[0]) / "tensorboard" / "projector"
    rows = (folder / "metadata.tsv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "id\tlabel" and len(rows) == 6
    assert "grey ·b··tab.jpg\tnot known" in rows
    assert len((folder / "tensors.tsv").read_text().splitlines()) == 5


def test_nothing_readable_and_nowhere_to_write_are_refused(triplets, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"none of 1 pictures .* a\.png: begins with"):
        embedded(triplets, tmp_path / "in", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    with pytest.raises(UsageError, match="--output"):
        EmbeddingFile(str(tmp_path / "no" / "a.npz"))
    with pytest.raises(UsageError, match="--split=test is for a dataset"):
        open_gallery(triplets, str(tmp_path / "in"), "test")


def test_a_stored_picture_that_is_none_ends_with_words(triplets, triplet_data):
    """Its checksum is right, so the build made it so: nothing to leave out, all to be doubted."""

    def feature(value):
        kind = "int64_list" if isinstance(value, int) else "bytes_list"
        return tf.train.Feature(**{kind: {"value": [value]}})

    values = {ImageKey.ENCODED: b"no picture", ImageKey.ID: b"a", ImageKey.KEY: 1,
              ImageKey.HEIGHT: 32, ImageKey.WIDTH: 32, ImageKey.CHANNELS: 3}  # fmt: skip
    features = {name: feature(value) for name, value in values.items()}
    payload = tf.train.Example(features={"feature": features}).SerializeToString()
    gallery = open_gallery(triplets, triplet_data)
    gallery._stored[0].payload = lambda *place: payload
    with pytest.raises(DataError, match=r"cannot be decoded \(Unknown image.*verify --deep"):
        gallery.picture(0, "a")


def test_a_finished_run_has_its_report_card(triplet_run):
    report = json.loads((Path(triplet_run) / "report.json").read_text())
    card, last = report["report_card"], report["metrics"]["last"]
    assert card["split"] == "test"
    assert card["overall"]["accuracy"] == last["val_triplet_accuracy"]
    assert "Report card" in (Path(triplet_run) / "report.html").read_text()
    with Image.open(Path(triplet_run) / "plots" / "card.png") as picture:
        assert picture.width > 1000


def test_a_split_that_is_not_there_is_refused_with_those_that_are(triplets, triplet_data):
    with pytest.raises(DataError, match=r"no split 'valid'.* test.*train"):
        open_gallery(triplets, triplet_data, "valid")


def test_pictures_of_several_sizes_are_seen_as_their_reader_sees_them(tmp_path):
    """Stored in their own sizes, they are stretched by the reader; files go the same way."""
    data = datasets.class_folders(tmp_path, mixed=True)
    with pytest.MonkeyPatch.context() as patch:
        config = datasets.configuration(datasets.CLASSIFICATION, epochs=1)
        train_in_process(patch, config, data, tmp_path / "run")
    serving = serving_of(tmp_path / "run")
    assert serving.shape.mixed
    _, stored = embedded(serving, data, tmp_path, "test")
    _, files = embedded(serving, tmp_path / "pictures" / "test", tmp_path)
    rows = dict(zip(files["ids"].tolist(), files["embeddings"], strict=True))
    same = np.array([rows[name.removeprefix("test/")] for name in stored["ids"].tolist()])
    np.testing.assert_allclose(same, stored["embeddings"], atol=1e-5)


def test_neighbours_are_the_same_by_pictures_and_by_embeddings(triplets, triplet_data, tmp_path):
    faces = Path(triplet_data).parent / "synth" / "images_cropped"
    path = sorted(faces.iterdir())[5]
    query = neighbours.read_query(triplets, str(path))
    embedded(triplets, triplet_data, tmp_path)
    by_pictures = neighbours.among_pictures(
        triplets, query, open_gallery(triplets, triplet_data), count=3
    )
    by_file = neighbours.among_embeddings(triplets, query, str(tmp_path / "a.npz"), count=3)
    first, second = (
        [(each.item.id, each.number, each.distance) for each in found.neighbours]
        for found in (by_pictures, by_file)
    )
    assert first == second and len(first) == 3
    assert first[0][0] == path.stem and first[0][2] < 1e-3
    for one, other in zip(by_pictures.neighbours, by_file.neighbours, strict=True):
        np.testing.assert_array_equal(one.item.pixels, other.item.pixels)
    # The file itself is left out of its own folder.
    found = neighbours.among_pictures(triplets, query, open_gallery(triplets, str(faces)), 3)
    assert len(found.neighbours) == 3
    assert path.name not in [each.item.id for each in found.neighbours]


def test_an_address_that_only_a_file_of_embeddings_names_is_not_asked(
    classes, pictures, tmp_path, monkeypatch
):
    embedded(classes, pictures, tmp_path)
    with np.load(tmp_path / "a.npz") as values:
        np.savez(tmp_path / "far.npz", **{**values, "images": "gs://far/pictures"})
    query = neighbours.read_query(classes, str(pictures / "dark" / "1.jpg"))
    path = str(tmp_path / "far.npz")
    with pytest.raises(UsageError, match="are at 'gs://far/pictures', as the file says; give"):
        neighbours.among_embeddings(classes, query, path, 1)
    # Pictures that were moved are found, too.
    found = neighbours.among_embeddings(classes, query, path, 1, images=str(pictures))
    assert found.neighbours


@pytest.mark.parametrize("labels", [999, -7])
def test_labels_of_embeddings_outside_the_classes_have_no_name(classes, pictures, tmp_path, labels):
    embedded(classes, pictures, tmp_path)
    with np.load(tmp_path / "a.npz") as values:
        shape = values["ids"].shape
        np.savez(tmp_path / "b.npz", **{**values, "labels": np.full(shape, labels)})
    query = neighbours.read_query(classes, str(pictures / "dark" / "1.jpg"))
    found = neighbours.among_embeddings(classes, query, str(tmp_path / "b.npz"), 1)
    assert neighbours.class_name(classes, found.neighbours[0].item) is None


def test_the_command_draws_the_neighbours_it_prints(class_runs, classes, pictures, tmp_path):
    output = tmp_path / "a.png"
    embedded(classes, pictures, tmp_path)
    result, said = command(
        "neighbours",
        f"--workdir={class_runs[0]}",
        f"--query={pictures / 'dark' / '1.jpg'}",
        f"--embeddings={tmp_path / 'a.npz'}",
        f"--output={output}",
        "--k=2",
    )
    assert said == ""
    assert result["metric"] == "cosine distance" and result["output"] == str(output)
    near, far = result["neighbours"]
    assert 0 <= near["distance"] <= far["distance"] <= 2
    assert {each["label"] for each in (near, far)} <= {*datasets.CLASSES, None}
    with Image.open(output) as sheet:
        assert sheet.width >= 3 * 128


def test_neighbours_of_other_weights_or_of_no_picture_are_refused(
    classes, class_runs, pictures, tmp_path
):
    embedded(classes, pictures, tmp_path)
    other = serving_of(class_runs[1])
    query = neighbours.read_query(other, str(pictures / "dark" / "1.jpg"))
    with pytest.raises(DataError, match="run `trainer embed` again"):
        neighbours.among_embeddings(other, query, str(tmp_path / "a.npz"), 3)
    with pytest.raises(DataError, match=r"cut\.jpg"):
        neighbours.read_query(classes, str(pictures / "cut.jpg"))
    (tmp_path / "alone").mkdir()
    shutil.copy(pictures / "dark" / "1.jpg", tmp_path / "alone")
    alone = open_gallery(classes, str(tmp_path / "alone"))
    query = neighbours.read_query(classes, str(tmp_path / "alone" / "1.jpg"))
    with pytest.raises(DataError, match="no picture other than the query"):
        neighbours.among_pictures(classes, query, alone, 3)


def test_pictures_that_changed_places_since_they_were_embedded_are_refused(
    classes, pictures, tmp_path
):
    folder = Path(shutil.copytree(pictures, tmp_path / "pictures"))
    embedded(classes, folder, tmp_path)
    for path in (folder / "bright").iterdir():
        path.unlink()
    query = neighbours.read_query(classes, str(pictures / "bright" / "0.png"))
    with pytest.raises(DataError, match=r"bright/0\.png"):
        neighbours.among_embeddings(classes, query, str(tmp_path / "a.npz"), 1)
