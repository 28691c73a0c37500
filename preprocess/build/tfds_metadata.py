"""The JSON that lets tensorflow-datasets open a dataset directory without our code.

    tfds.builder_from_directory(DATASET)             pictures; split `train` = variant 0,
                                                     `train_variant_07` = variant 7
    tfds.builder_from_directory(DATASET/triplets)    triplet records, which name pictures by key

The shards stay where they are: a TFDS split may give its files by a template. TFDS reads a
directory with a single set of features, so triplets have their own directory. Both files are
protocol buffers as JSON (`DatasetInfo` and `Feature` of tensorflow_datasets/core/proto), simple
enough to be written without TFDS.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from preprocess.dataset_format import (
    TFDS_FEATURES_FILE,
    TFDS_INFO_FILE,
    TFDS_LABELS_FILE,
    TFDS_MANY_LABELS_FILE,
    TFDS_TRIPLET_FOLDER,
    ImageFormat,
    ImageKey,
    Manifest,
    Shard,
    TripletKey,
    learned_keys,
)

_VERSION = "1.0.0"  # of the layout, which TFDS requires; features.json describes the records
_PYTHON = "tensorflow_datasets.core.features"
_TEXT = {"pythonClassName": f"{_PYTHON}.text_feature.Text", "text": {}}


def metadata_files(manifest: Manifest) -> dict[str, str]:
    """The metadata of a dataset: relative path, one of TFDS_FILES -> content."""
    learned = learned_keys(manifest.task)
    files = {
        TFDS_INFO_FILE: _info("shardline", _image_splits(manifest), learned),
        TFDS_FEATURES_FILE: _features(_image_features(manifest)),
    }
    if manifest.classes:
        names = TFDS_LABELS_FILE if ImageKey.LABEL in learned else TFDS_MANY_LABELS_FILE
        files[names] = "".join(f"{name}\n" for name in manifest.classes)
    triplet_splits = [
        _split(name, split.triplet_shards(), "../")
        for name, split in manifest.splits.items()
        if split.triplet_shards()
    ]
    if triplet_splits:
        info = _info("shardline_triplets", triplet_splits)
        files[f"{TFDS_TRIPLET_FOLDER}/{TFDS_INFO_FILE}"] = info
        files[f"{TFDS_TRIPLET_FOLDER}/{TFDS_FEATURES_FILE}"] = _features(_triplet_features())
    return files


def _image_splits(manifest: Manifest) -> list[dict[str, Any]]:
    splits = []
    for name, split in manifest.splits.items():
        for variant in range(split.variants):
            shards = split.image_shards(variant)
            if not shards:
                continue
            of_tfds = f"{name}_variant_{variant:02d}" if variant else name
            splits.append(_split(of_tfds, shards))
    return splits


def _split(name: str, shards: list[Shard], up: str = "") -> dict[str, Any]:
    prefix = shards[0].file.removesuffix(f"00000-of-{len(shards):05d}.tfrecord")
    return {
        "name": name,
        "filepathTemplate": f"{up}{prefix}{{SHARD_X_OF_Y}}.tfrecord",
        # In JSON, a protocol buffer's int64 is text.
        "shardLengths": [str(shard.records) for shard in shards],
        "numBytes": str(sum(shard.bytes for shard in shards)),
    }


def _info(name: str, splits: list[dict[str, Any]], supervised: Sequence[str] = ()) -> str:
    info: dict[str, Any] = {
        "name": name,
        "version": _VERSION,
        "fileFormat": "tfrecord",
        "splits": splits,
    }
    if supervised:
        info["supervisedKeys"] = {
            "tuple": {
                "items": [{"featureKey": key} for key in (ImageKey.ENCODED, *supervised)],
            }
        }
    return _text(info)


def _image_features(manifest: Manifest) -> dict[str, Any]:
    features = {
        ImageKey.ENCODED: _picture(manifest.image),
        ImageKey.FORMAT: _TEXT,
        ImageKey.ID: _TEXT,
        **{
            key: _tensor("int64")
            for key in (
                ImageKey.KEY,
                ImageKey.VARIANT,
                ImageKey.HEIGHT,
                ImageKey.WIDTH,
                ImageKey.CHANNELS,
            )
        },
    }
    learned = learned_keys(manifest.task)
    if ImageKey.LABEL in learned:
        features[ImageKey.LABEL] = _class_label(manifest)
    if ImageKey.LABELS in learned:
        features[ImageKey.LABELS] = {
            "pythonClassName": f"{_PYTHON}.sequence_feature.Sequence",
            "sequence": {"feature": _class_label(manifest), "length": "-1"},
        }
    if manifest.targets:
        features[ImageKey.TARGETS] = _tensor("float32", (len(manifest.targets),))
    if manifest.weighted:
        features[ImageKey.WEIGHT] = _tensor("float32")
    return features


def _class_label(manifest: Manifest) -> dict[str, Any]:
    return {
        "pythonClassName": f"{_PYTHON}.class_label_feature.ClassLabel",
        "classLabel": {"numClasses": str(len(manifest.classes))},
    }


def _picture(image: ImageFormat) -> dict[str, Any]:
    """TFDS decodes JPEG and PNG, and raw if all pictures have one shape. Raw pictures of several
    shapes are returned as bytes, with height, width and channels next to them.
    """
    shape = (image.height, image.width, image.channels)
    if image.encoding == "raw":
        if None in shape:
            return _tensor("string")
        return _tensor("uint8", shape, encoding="bytes")
    # If some pictures are grey and others are not, all are returned as RGB.
    return {
        "pythonClassName": f"{_PYTHON}.image_feature.Image",
        "image": {"dtype": "uint8", "shape": _shape((image.height, image.width, shape[2] or 3))},
    }


def _triplet_features() -> dict[str, Any]:
    return {
        TripletKey.IMAGES: _tensor("int64", (3,)),
        TripletKey.VOTES: _tensor("float32", (3,)),
        TripletKey.TYPE: _TEXT,
        TripletKey.ROW: _tensor("int64"),
    }


def _tensor(dtype: str, shape: tuple[int | None, ...] = (), encoding: str = "none") -> Any:
    return {
        "pythonClassName": f"{_PYTHON}.tensor_feature.Tensor",
        "tensor": {"dtype": dtype, "encoding": encoding, "shape": _shape(shape)},
    }


def _shape(sides: tuple[int | None, ...]) -> dict[str, list[str]]:
    return {"dimensions": ["-1" if side is None else str(side) for side in sides]}


def _features(features: dict[str, Any]) -> str:
    return _text(
        {
            "pythonClassName": f"{_PYTHON}.features_dict.FeaturesDict",
            "featuresDict": {"features": features},
        }
    )


def _text(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
