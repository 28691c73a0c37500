"""A run as a SavedModel on bytes, for processes that have TensorFlow and nothing of ours.

`tf.keras` would save the training side of our layers too, whose random numbers belong to a
training step; so what is saved is one inference function and the variables it uses.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import tensorflow as tf

from preprocess.dataset_format import LABELS_FILE
from preprocess.shell.atomic import write_text
from preprocess.shell.errors import UsageError
from preprocess.shell.json_text import JsonObject, json_text
from trainer.data.recorded import record_of_targets
from trainer.inference.serving import EMBEDDING, Serving
from trainer.training.run_directory import versions

FORMAT = "shardline-model/1"
SIGNATURE_FILE = "signature.json"
PIXELS = "pixels"  # the signature without decoding, and without texts: TFLite and ONNX have neither
_MODEL_FILE = "saved_model.pb"

_INPUT_MEANING = (
    "the bytes of upright JPEG or PNG files, of any size; EXIF orientation is not looked at"
)

_PIXELS_MEANING = "decoded pictures of 0 to 255, brought to that size as `brought_to` says"


def export(serving: Serving, output: str) -> JsonObject:
    """Writes the SavedModel and returns what `signature.json` says.

    The folder appears whole or not at all; an earlier export is replaced.

    Raises:
      UsageError: the folder holds something else, or cannot be written.
    """
    folder = Path(output)
    check_output(folder)
    temporary = folder.with_name(f".{folder.name}.tmp-{os.getpid()}")
    described = describe(serving)
    try:
        temporary.mkdir(parents=True)
        module = _module(serving, described, temporary)
        tf.saved_model.save(
            module,
            str(temporary / "model"),
            signatures={"serving_default": module.serve, PIXELS: module.pixels},
        )
        _put(temporary / "model", folder)
    except OSError as error:
        raise UsageError(f"--output='{output}': {error.strerror or error}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return described


def check_output(folder: Path) -> None:
    """Raises UsageError unless the folder is not there, empty, or an earlier export."""
    if folder.is_file():
        raise UsageError(f"--output='{folder}' is a file")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    ours = (folder / _MODEL_FILE).is_file() and (folder / "assets" / SIGNATURE_FILE).is_file()
    if not ours:
        raise UsageError(f"--output='{folder}' is not empty and not an earlier export")


def describe(serving: Serving) -> JsonObject:
    """The signature in plain data: what goes in, what comes out, of which run."""
    run, shape = serving.run, serving.shape
    pictures: JsonObject = {
        "height": shape.height,
        "width": shape.width,
        "channels": shape.channels,
        "resize_mode": shape.resize_mode,
    }
    specs = serving.outputs.get_concrete_function().structured_outputs
    outputs: JsonObject = {
        name: {"dtype": spec.dtype.name, "shape": spec.shape.as_list()}
        for name, spec in specs.items()
    }
    outputs[EMBEDDING]["compare_by"] = serving.metric
    shape_of_pixels = [None, shape.height, shape.width, shape.channels]
    return {
        "format": FORMAT,
        "signature": "serving_default",
        "task": run.dataset["task"],
        "input": {
            "images": {"dtype": "string", "shape": [None], "meaning": _INPUT_MEANING},
        },
        "brought_to": pictures,
        PIXELS: {
            "images": {"dtype": "uint8", "shape": shape_of_pixels, "meaning": _PIXELS_MEANING},
            "outputs": [name for name, each in outputs.items() if each["dtype"] != "string"],
        },
        "outputs": outputs,
        "classes": list(serving.classes),
        **record_of_targets(serving.task.targets),
        "step": run.step,
        "weights_digest": run.session.weights_digest(),
        "versions": versions(),
    }


def _module(serving: Serving, described: JsonObject, scratch: Path) -> Any:
    module = tf.Module(name="shardline")
    # Only what the module holds is saved with its functions; the model itself would bring its
    # training side along.
    module.weights = serving.run.session.model.variables
    files = {SIGNATURE_FILE: json_text(described, indent=2) + "\n"}
    if serving.classes:
        files[LABELS_FILE] = "".join(f"{name}\n" for name in serving.classes)
    module.files = []
    for name, text in files.items():
        write_text(scratch / name, text)
        module.files.append(tf.saved_model.Asset(str(scratch / name)))
    module.serve = tf.function(
        lambda images: serving.outputs(serving.decoded_files(images)),
        input_signature=[tf.TensorSpec([None], tf.string, name="images")],
    )
    shape = serving.shape
    pixels = tf.TensorSpec(
        [None, shape.height, shape.width, shape.channels], tf.uint8, name="images"
    )

    def from_pixels(images: Any) -> dict[str, Any]:
        outputs = serving.outputs(images)
        return {name: each for name, each in outputs.items() if each.dtype != tf.string}

    module.pixels = tf.function(from_pixels, input_signature=[pixels])
    return module


def _put(made: Path, folder: Path) -> None:
    """Renames a folder into its place, the one that is there out of the way first."""
    earlier = made.with_name("earlier")
    if folder.is_dir():
        folder.rename(earlier)
    try:
        made.rename(folder)
    except OSError:
        if earlier.is_dir():
            earlier.rename(folder)
        raise
