"""embed, neighbours and export as a user runs them, and their numbers against each other."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.trainer import datasets
from tests.trainer.conftest import train_in_process
from trainer.embedding import load_embeddings

pytestmark = pytest.mark.slow

# What a process without this project does with an export. Nothing of ours can be imported there.
LOADER = """
import json, sys

class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("trainer", "preprocess", "tensorflow_hub", "tensorflow_addons"):
            raise ImportError(name)

sys.meta_path.insert(0, Nothing())
import tensorflow as tf

found = []
for model, files in json.load(sys.stdin):
    serve = tf.saved_model.load(model).signatures["serving_default"]
    images = [open(file, "rb").read() for file in files]
    together = serve(images=tf.constant(images))
    alone = serve(images=tf.constant(images[:1]))
    outputs = {name: value.numpy() for name, value in together.items()}
    outputs["alone"] = alone["embedding"].numpy()
    if "class" in outputs:
        outputs["class"] = [name.decode() for name in outputs["class"]]
    found.append({n: v if isinstance(v, list) else v.tolist() for n, v in outputs.items()})
print(json.dumps(found))
"""


def run(command, *flags, code=0):
    done = datasets.command("trainer", command, *flags, "--json")
    assert done.returncode == code, done.stderr
    return (json.loads(done.stdout) if code == 0 else done.stderr), done.stderr


def elsewhere(exports, folder):
    """What the exports say of files, from another process, another folder, isolated."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", LOADER],
        input=json.dumps([(str(model), [str(f) for f in files]) for model, files in exports]),
        cwd=folder,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Files of several kinds and sizes, one cut and one that is no picture."""
    folder = tmp_path_factory.mktemp("pictures")
    for number, size in enumerate([(50, 30), (24, 24), (20, 61), (300, 200)]):
        bright = number % 2 == 0
        path = folder / datasets.CLASSES[not bright] / f"{number}.{'jpg' if number % 2 else 'png'}"
        path.parent.mkdir(exist_ok=True)
        datasets.picture(bright, number, size).save(path)
    datasets.picture(True, 9).convert("L").save(folder / "grey <b>\ttab.jpg")
    (folder / "no.png").write_bytes(b"no picture")
    (folder / "cut.jpg").write_bytes((folder / "dark" / "3.jpg").read_bytes()[:900])
    return folder


@pytest.fixture(scope="module")
def embedded(triplet_run, triplet_data, pictures, class_runs, class_data, tmp_path_factory):
    """(result, npz) of four calls: files and dataset, triplets and classes."""
    folder = tmp_path_factory.mktemp("embedded")
    found = {}
    for name, workdir, images, flags in (
        ("faces", triplet_run, triplet_data, ()),
        ("files", triplet_run, pictures, ()),
        ("classes", class_runs[0], class_data, ("--split=test",)),
        ("class files", class_runs[0], pictures, ()),
    ):
        output = folder / f"{name}.npz"
        flags = (f"--workdir={workdir}", f"--images={images}", f"--output={output}", *flags)
        result, said = run("embed", *flags)
        assert result["output"] == str(output)
        found[name] = (result, load_embeddings(str(output)), said)
    return found


def test_embed_of_a_dataset_has_its_ids_splits_and_labels(embedded):
    result, file, said = embedded["faces"]
    assert said == ""
    assert result["pictures"] == 40 and result["unreadable"] == []
    assert file["embeddings"].shape == (40, 4) and file["embeddings"].dtype == np.float32
    assert len(set(file["ids"].tolist())) == 40
    assert set(file["splits"].tolist()) == {"train", "test"}
    assert "labels" not in file and file["metric"].item() == "squared distance"
    # model.scale is 1: embeddings lie on the sphere.
    np.testing.assert_allclose(np.linalg.norm(file["embeddings"], axis=1), 1, rtol=1e-5)
    result, file, _ = embedded["classes"]
    assert result["metric"] == "cosine distance" and file["embeddings"].shape == (10, 96)
    assert file["splits"].tolist() == ["test"] * 10
    for name, label in zip(file["ids"], file["labels"], strict=True):
        assert file["classes"][label] == Path(name).parent.name


def test_embed_of_files_names_the_unreadable_ones_and_goes_on(embedded):
    result, file, said = embedded["class files"]
    assert result["pictures"] == 5
    assert sorted(each["id"] for each in result["unreadable"]) == ["cut.jpg", "no.png"]
    assert all(each["problem"] for each in result["unreadable"])
    assert "left out: no.png: not a picture" in said and "left out: cut.jpg" in said
    labels = dict(zip(file["ids"].tolist(), file["labels"].tolist(), strict=True))
    assert labels == {
        "bright/0.png": 0, "dark/1.jpg": 1, "bright/2.png": 0, "dark/3.jpg": 1,
        "grey <b>\ttab.jpg": -1,
    }  # fmt: skip
    assert file["numbers"].max() == 6  # seven files, the last one readable


def test_embed_writes_the_projector_of_the_run(embedded, class_runs):
    folder = Path(embedded["class files"][0]["projector"])
    assert folder == Path(class_runs[0]) / "tensorboard" / "projector"
    lines = (folder / "metadata.tsv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "id\tlabel" and len(lines) == 6
    assert "grey ·b··tab.jpg\tnot known" in lines
    assert len((folder / "tensors.tsv").read_text().splitlines()) == 5


def test_embed_of_nothing_readable_or_nowhere_is_refused(triplet_run, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"no picture")
    flags = [f"--workdir={triplet_run}", f"--images={tmp_path / 'in'}"]
    told, _ = run("embed", *flags, f"--output={tmp_path / 'a.npz'}", code=os.EX_DATAERR)
    assert "none of 1 pictures" in told and "Traceback" not in told
    assert not (tmp_path / "a.npz").exists()
    told, _ = run("embed", *flags, f"--output={tmp_path}/no/a.npz", code=os.EX_USAGE)
    assert "--output" in told and "Traceback" not in told
    told, _ = run("embed", *flags, f"--output={tmp_path}/a.csv", code=os.EX_USAGE)
    assert ".npz" in told


@pytest.fixture(scope="module")
def hub_run(triplet_data, tmp_path_factory):
    """A run whose backbone was a SavedModel on disk, of 3 in, 1 epoch."""
    folder = tmp_path_factory.mktemp("hub")
    datasets.hub_module(folder / "module")
    with pytest.MonkeyPatch.context() as patch:
        config = datasets.configuration(
            datasets.TRIPLET, epochs=1, model__backbone=f"hub:{folder / 'module'}"
        )
        train_in_process(patch, config, triplet_data, folder / "run")
    return folder


def test_an_export_gives_the_same_numbers_in_a_process_without_this_project(
    embedded, triplet_run, class_runs, hub_run, pictures, tmp_path
):
    """To 1e-5 of what `embed` and `predict` say; the hub module itself is gone by then."""
    readable = sorted(embedded["files"][1]["ids"].tolist())
    files = [pictures / name for name in readable]
    output = tmp_path / "hub.npz"
    flags = (f"--workdir={hub_run / 'run'}", f"--images={pictures}", f"--output={output}")
    run("embed", *flags)
    expected = {
        "triplet": embedded["files"][1],
        "class": embedded["class files"][1],
        "hub": load_embeddings(str(output)),
    }
    runs = {"triplet": triplet_run, "class": class_runs[0], "hub": hub_run / "run"}
    for name, workdir in runs.items():
        described, said = run("export", f"--workdir={workdir}", f"--output={tmp_path / name}")
        assert said == ""
        written = json.loads((tmp_path / name / "assets" / "signature.json").read_text())
        assert {**written, "output": str(tmp_path / name)} == described
    shutil.rmtree(hub_run / "module")
    found = elsewhere([(tmp_path / name, files) for name in runs], tmp_path)
    for name, outputs in zip(runs, found, strict=True):
        rows = dict(zip(expected[name]["ids"], expected[name]["embeddings"], strict=True))
        embeddings = np.array([rows[each] for each in readable])
        np.testing.assert_allclose(outputs["embedding"], embeddings, atol=1e-5)
        np.testing.assert_allclose(outputs["alone"], embeddings[:1], atol=1e-5)
        assert ("logits" in outputs) == (name == "class")
    classes = found[1]
    logits = np.array(classes["logits"])
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(classes["probabilities"], shares, atol=1e-6)
    assert classes["class"] == [datasets.CLASSES[best] for best in logits.argmax(-1)]
    assert (tmp_path / "class" / "assets" / "labels.txt").read_text().split() == [*datasets.CLASSES]


def test_an_export_replaces_an_earlier_one_and_nothing_else(triplet_run, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "mine.txt").write_text("keep")
    flags = (f"--workdir={triplet_run}", f"--output={folder}")
    told, _ = run("export", *flags, code=os.EX_USAGE)
    assert "not empty" in told and (folder / "mine.txt").read_text() == "keep"
    (folder / "mine.txt").unlink()
    run("export", *flags, "--checkpoint=best")
    (folder / "old").touch()
    described, _ = run("export", *flags)
    assert described["step"] == 10 and not (folder / "old").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_neighbours_are_the_same_by_pictures_and_by_embeddings(
    embedded, triplet_run, triplet_data, tmp_path
):
    faces = Path(triplet_data).parent / "synth" / "images_cropped"
    query = sorted(faces.iterdir())[5]
    common = (f"--workdir={triplet_run}", f"--query={query}", "--k=3")
    by_pictures, _ = run(
        "neighbours", *common, f"--images={triplet_data}", f"--output={tmp_path / 'a.png'}"
    )
    by_file, _ = run(
        "neighbours", *common, f"--embeddings={embedded['faces'][0]['output']}",
        f"--output={tmp_path / 'b.png'}",
    )  # fmt: skip
    assert by_pictures["metric"] == "squared distance"
    rows = by_pictures["neighbours"]
    assert len(rows) == 3 and rows[0]["id"] == query.stem
    assert [row["id"] for row in by_file["neighbours"]] == [row["id"] for row in rows]
    ranks = [row["distance"] for row in rows]
    assert ranks == sorted(ranks) and ranks[0] < 1e-3
    with Image.open(tmp_path / "a.png") as a, Image.open(tmp_path / "b.png") as b:
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
    # The file itself is left out of its own folder.
    of_folder, _ = run("neighbours", *common, f"--images={faces}", f"--output={tmp_path / 'c.png'}")
    assert query.name not in [row["id"] for row in of_folder["neighbours"]]
    assert len(of_folder["neighbours"]) == 3


def test_neighbours_of_another_run_or_of_no_picture_are_refused(
    embedded, class_runs, pictures, tmp_path
):
    file, output = embedded["class files"][0]["output"], f"--output={tmp_path / 'a.png'}"
    query = f"--query={pictures / 'dark' / '1.jpg'}"
    flags = (f"--workdir={class_runs[1]}", output, f"--embeddings={file}")
    told, _ = run("neighbours", *flags, query, code=os.EX_DATAERR)
    assert "run `trainer embed` again" in told
    flags = (f"--workdir={class_runs[0]}", output, f"--embeddings={file}")
    told, _ = run("neighbours", *flags, f"--query={pictures / 'cut.jpg'}", code=os.EX_DATAERR)
    assert "cut.jpg" in told
    told, _ = run("neighbours", *flags, query, f"--images={pictures}", code=os.EX_USAGE)
    assert "--images" in told and "--embeddings" in told
    assert not (tmp_path / "a.png").exists()
