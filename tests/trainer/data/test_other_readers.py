"""A dataset opens without our code: by tf.data, tensorflow-datasets, Grain and DALI's index.

What docs/dataset-format.md shows is run as it stands, in a folder with a dataset called `dataset`.
"""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from preprocess import dataset_format as df
from preprocess.shards import reading
from tests.docs.blocks import named_block
from tests.preprocess.made import built
from tests.trainer import datasets

MISSING = "pip install -r requirements-dev.txt"


def example(name: str) -> str:
    """The page's block behind `<!-- tested: NAME -->`."""
    text = named_block(name).text
    assert not re.search(r"import (preprocess|trainer)|from (preprocess|trainer)", text)
    return text


def run(name: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(example(name), f"dataset-format: {name}", "exec"), names)
    return names


@pytest.fixture
def here(triplet_data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory as the page's reader has it: 40 faces in 3 variants and 2 shards."""
    (tmp_path / "dataset").symlink_to(triplet_data)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "dataset"


def records(dataset: Path, split: str = "train", variant: int = 0) -> list[dict[str, Any]]:
    shards = df.Manifest.load(dataset).splits[split].image_shards(variant)
    return [record for shard in shards for record in reading.records(str(dataset), shard.file)]


def triplets(dataset: Path) -> list[list[int]]:
    shards = df.Manifest.load(dataset).splits["train"].triplet_shards()
    found = (record for shard in shards for record in reading.records(str(dataset), shard.file))
    return [list(record["triplet/images"]) for record in found]  # type: ignore[call-overload]


def test_tf_data_reads_every_picture_in_every_variant_and_the_triplets(here):
    found = run("tf.data")
    batches = list(found["pictures"].as_numpy_iterator())
    keys = np.concatenate([keys for _, keys in batches])
    wanted = [r["image/key"] for variant in range(3) for r in records(here, variant=variant)]
    assert sorted(keys) == sorted(wanted)
    assert {images.shape[1:] for images, _ in batches} == {(32, 32, 3)}
    named = np.concatenate([b["triplet/images"] for b in found["triplets"].as_numpy_iterator()])
    assert named.tolist() == triplets(here)


def test_tfds_opens_pictures_variants_and_triplets(here):
    """Each element is the record, its picture decoded (PNG: without a loss)."""
    pytest.importorskip("tensorflow_datasets", reason=MISSING)
    found = run("tfds")
    for element, record in zip(
        sorted(found["originals"].as_numpy_iterator(), key=lambda e: e["image/key"]),
        sorted(records(here), key=lambda r: r["image/key"]),
        strict=True,
    ):
        np.testing.assert_array_equal(element.pop("image/encoded"), reading.pixels(record))
        assert element == {k: v for k, v in record.items() if k != "image/encoded"}
    variants = [element["image/variant"] for element in found["augmented"].as_numpy_iterator()]
    count = len(records(here))
    assert sorted(variants) == [1] * count + [2] * count
    elements = list(found["triplets"].as_numpy_iterator())
    assert sorted(e["triplet/images"].tolist() for e in elements) == sorted(triplets(here))
    assert all(abs(e["triplet/votes"].sum() - 1) < 1e-5 for e in elements)


def test_tfds_gives_pairs_of_picture_and_label_with_the_names_of_classes(class_data):
    tfds = pytest.importorskip("tensorflow_datasets", reason=MISSING)
    builder = tfds.builder_from_directory(class_data)
    assert builder.info.features["image/label"].names == list(datasets.CLASSES)
    sizes = {name: split.num_examples for name, split in builder.info.splits.items()}
    assert sizes == {"train": 21, "train_variant_01": 21, "train_variant_02": 21, "test": 10}
    pairs = list(builder.as_dataset(split="test", as_supervised=True).as_numpy_iterator())
    wanted = records(Path(class_data), "test")
    assert sorted(int(label) for _, label in pairs) == sorted(r["image/label"] for r in wanted)
    assert {image.shape for image, _ in pairs} == {(24, 24, 3)}
    assert builder.as_dataset(split="train[:10]").cardinality() == 10


@pytest.mark.parametrize(
    ("encoding", "mixed"), [("jpeg", True), ("raw", False), ("raw", True)], ids=str
)
def test_tfds_opens_every_encoding(tmp_path, encoding, mixed):
    """JPEG and raw of one shape come as pixels, raw of many shapes as the record's bytes. Of 24
    shards for 21 pictures, some are empty.
    """
    tfds = pytest.importorskip("tensorflow_datasets", reason=MISSING)
    images = datasets.write_folders(tmp_path / "in", mixed=mixed)
    built("folders", tmp_path / "out", images=images, variants=2, shards=24, encoding=encoding)
    found = tfds.builder_from_directory(tmp_path / "out").as_dataset(split="train_variant_01")
    wanted = {r["image/key"]: r for r in records(tmp_path / "out", variant=1)}
    seen = set()
    for element in found.as_numpy_iterator():
        record = wanted[element["image/key"]]
        seen.add(element["image/key"])
        if encoding == "jpeg":
            pixels = tf.io.decode_image(record["image/encoded"]).numpy()
        else:
            pixels = record["image/encoded"] if mixed else reading.pixels(record)
        np.testing.assert_array_equal(element["image/encoded"], pixels)
    assert seen == set(wanted)


def test_an_index_gives_any_record_and_grain_shuffles_over_it(here):
    pytest.importorskip("grain", reason=MISSING)
    found = run("grain")
    source, keys = found["source"], [r["image/key"] for r in records(here)]
    read = [source[n].features.feature["image/key"].int64_list.value[0] for n in range(len(source))]
    assert read == keys
    assert (
        source[3].features.feature["image/encoded"].bytes_list.value[0]
        == (records(here)[3]["image/encoded"])
    )
    shuffled = [
        found["shuffled"][n].features.feature["image/key"].int64_list.value[0]
        for n in range(len(keys))
    ]
    assert shuffled != keys and sorted(shuffled) == sorted(keys)


def test_the_index_of_dali_is_a_cut_away(triplet_data, tmp_path):
    """DALI's tfrecord2idx notes where a record begins and how far it is to the next, framing (8
    bytes of length, 4 of checksum, payload, 4 of checksum) and all.
    """
    shutil.copytree(triplet_data, tmp_path / "dataset")
    subprocess.run(["bash", "-euc", example("dali")], cwd=tmp_path, check=True)
    made = sorted(tmp_path.rglob("*.idx"))
    assert len(made) == 6  # 3 variants in 2 shards
    for path in made:
        data = path.with_suffix(".tfrecord").read_bytes()
        lines, at = [], 0
        while at < len(data):
            length = 16 + struct.unpack_from("<q", data, at)[0]
            lines.append(f"{at} {length}\n")
            at += length
        assert path.read_text() == "".join(lines)


def test_tensorflow_checks_the_checksums_of_our_records(here):
    """TFRecordDataset reads every record of a shard to its end: framing and checksums agree."""
    shard = df.Manifest.load(here).splits["train"].image_shards(1)[0]
    found = tf.data.TFRecordDataset(str(here / shard.file)).as_numpy_iterator()
    assert sum(1 for _ in found) == shard.records
