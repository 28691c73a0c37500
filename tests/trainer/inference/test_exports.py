"""Exports of finished runs: the same numbers elsewhere, in other processes and formats."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from preprocess.shell.errors import UsageError
from tests.trainer import datasets
from tests.trainer.conftest import train_in_process
from tests.trainer.inference.conftest import serving_of
from tests.trainer.inference.test_after_training import command, embedded
from trainer.inference.export import export

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
    triplets, classes, hub_run, pictures, tmp_path
):
    """To 1e-5 of what `embed` says; the hub module itself is gone by then."""
    trusted = serving_of(hub_run / "run", trusted=[f"hub:{hub_run / 'module'}"])
    servings = {"triplet": triplets, "class": classes, "hub": trusted}
    expected = {n: embedded(each, pictures, tmp_path)[1] for n, each in servings.items()}
    described, said = command(
        "export", f"--workdir={triplets.run.path}", f"--output={tmp_path / 'triplet'}"
    )
    assert said == ""
    written = json.loads((tmp_path / "triplet" / "assets" / "signature.json").read_text())
    assert {**written, "output": str(tmp_path / "triplet")} == described
    for name in ("class", "hub"):
        export(servings[name], str(tmp_path / name))
    shutil.rmtree(hub_run / "module")
    readable = sorted(expected["class"]["ids"].tolist())
    files = [pictures / name for name in readable]
    found = elsewhere([(tmp_path / name, files) for name in servings], tmp_path)
    for name, outputs in zip(servings, found, strict=True):
        rows = dict(zip(expected[name]["ids"], expected[name]["embeddings"], strict=True))
        embeddings = np.array([rows[each] for each in readable])
        np.testing.assert_allclose(outputs["embedding"], embeddings, atol=1e-5)
        np.testing.assert_allclose(outputs["alone"], embeddings[:1], atol=1e-5)
        assert ("logits" in outputs) == (name == "class")
    of_classes = found[1]
    logits = np.array(of_classes["logits"])
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(of_classes["probabilities"], shares, atol=1e-6)
    assert of_classes["class"] == [datasets.CLASSES[best] for best in logits.argmax(-1)]
    assert (tmp_path / "class" / "assets" / "labels.txt").read_text().split() == [*datasets.CLASSES]


def test_an_export_replaces_an_earlier_one_and_nothing_else(triplet_run, triplets, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "mine.txt").write_text("keep")
    with pytest.raises(UsageError, match="not empty and not an earlier export"):
        export(triplets, str(folder))
    assert (folder / "mine.txt").read_text() == "keep"
    (folder / "mine.txt").unlink()
    export(serving_of(triplet_run, "best"), str(folder))
    (folder / "old").touch()
    assert export(triplets, str(folder))["step"] == 10
    assert not (folder / "old").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    with pytest.raises(UsageError, match="is a file"):
        export(triplets, str(folder / "saved_model.pb"))


def test_an_export_from_pixels_is_converted_to_onnx_and_gives_the_same_numbers(
    classes, pictures, tmp_path
):
    """Where tf2onnx and onnxruntime are installed, which are not among the requirements."""
    for package in ("tf2onnx", "onnxruntime"):
        pytest.importorskip(package)
    import onnxruntime

    described = export(classes, str(tmp_path / "model"))
    saved, file = str(tmp_path / "model"), str(tmp_path / "model.onnx")
    done = datasets.command(
        "tf2onnx.convert", f"--saved-model={saved}", "--signature_def=pixels", f"--output={file}"
    )
    assert done.returncode == 0, done.stderr
    pixels = np.random.default_rng(0).integers(0, 256, (3, *classes.shape[:3])).astype(np.uint8)
    runtime = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [output.name for output in runtime.get_outputs()]
    assert set(names) >= {*described["pixels"]["outputs"]} - {"class"}
    expected = classes.outputs(pixels)
    for name, value in zip(names, runtime.run(None, {"images": pixels}), strict=True):
        np.testing.assert_allclose(value, expected[name], atol=1e-4)


def test_an_export_from_pixels_is_converted_and_gives_the_same_numbers(classes, pictures, tmp_path):
    """By TensorFlow's own converter to TFLite, in its own interpreter, for batches of one."""
    described = export(classes, str(tmp_path / "model"))
    assert described["pixels"]["images"]["shape"] == [None, *classes.shape[:3]]
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    serve = tf.function(lambda images: loaded.signatures["pixels"](images=images))
    one = serve.get_concrete_function(tf.TensorSpec([1, *classes.shape[:3]], tf.uint8, "images"))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([one], loaded)
    interpreter = tf.lite.Interpreter(model_content=converter.convert())
    run = interpreter.get_signature_runner()
    pixels = np.random.default_rng(0).integers(0, 256, (1, *classes.shape[:3])).astype(np.uint8)
    found = run(images=pixels)
    assert sorted(found) == sorted(described["pixels"]["outputs"])
    expected = classes.outputs(pixels)
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name], atol=1e-4)
