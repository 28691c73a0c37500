"""Tiny datasets and configurations for the trainer's tests, built by the real commands."""

from __future__ import annotations

import gzip
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from preprocess.synth.dataset import synthesise
from tests import forked
from trainer.config import Config, check_config, to_dict, with_values

REPOSITORY = Path(__file__).resolve().parents[2]
CLASSES = ("bright", "dark")


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m ARGUMENTS` as a user runs it, its output kept."""
    # What keeps TensorFlow quiet in the tests is not there for the user.
    plain = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    return forked.run(
        [sys.executable, "-m", *arguments], cwd=REPOSITORY, env={**plain, **environment}
    )


def build(output: Path, *flags: str) -> str:
    """`preprocess build` into a folder; returns its path."""
    done = command("preprocess", "build", f"--output={output}", "--workers=1", *flags)
    assert done.returncode == 0, done.stderr
    return str(output)


def triplets(folder: Path, *flags: str) -> str:
    """40 faces of 32x32 in 3 variants and 2 shards; 33 train and 27 test triplets."""
    synth = folder / "synth"
    if not synth.exists():
        synthesise(synth, 40, 60, 0.45, 0, progress=False)
    images = f"--images={synth}/images_cropped"
    flags = flags or ("--image_size=32", "--variants=3", "--shards=2", "--encoding=png")
    return build(folder / "triplets", "--source=fec", f"--csv={synth}/labels.csv", images, *flags)


def picture(bright: bool, number: int, size: tuple[int, int] = (24, 24)) -> Image.Image:
    """Noise, twice as bright for the class `bright`."""
    rng = np.random.default_rng([bright, number])
    top = 255 if bright else 128
    return Image.fromarray(rng.integers(0, top, (*size[::-1], 3)).astype(np.uint8))


def write_folders(folder: Path, suffix: str = "png", mixed: bool = False) -> Path:
    """split/class/file: 21 training and 10 test pictures of two classes."""
    for split, count in (("train", 21), ("test", 10)):
        for number in range(count):
            bright = number % 2 == 0
            name = folder / split / CLASSES[not bright] / f"{number:02d}.{suffix}"
            name.parent.mkdir(parents=True, exist_ok=True)
            size = (24 + number, 40) if mixed else (24, 24)
            picture(bright, 100 * (split == "test") + number, size).save(name)
    return folder


def class_folders(folder: Path, *flags: str, mixed: bool = False) -> str:
    """The pictures of write_folders() in 3 variants and 3 shards."""
    pictures = write_folders(folder / "pictures", mixed=mixed)
    flags = flags or ("--variants=3", "--shards=3", "--encoding=png")
    return build(folder / "classes", "--source=folders", f"--images={pictures}", *flags)


def table(folder: Path, columns: dict[str, list[str]], *flags: str) -> str:
    """The pictures of write_folders() through a table of paths, splits and further columns, a cell
    a picture, in one variant and two shards.
    """
    pictures = write_folders(folder / "pictures")
    paths = sorted(path.relative_to(pictures).as_posix() for path in pictures.rglob("*.png"))
    lines = [",".join(["path", "split", *columns])]
    for path, *cells in zip(paths, *columns.values(), strict=True):
        lines.append(",".join([path, path.partition("/")[0], *cells]))
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    common = ("--variants=1", "--shards=2", "--encoding=png", "--source=csv")
    csv = f"--csv={folder / 'table.csv'}"
    return build(folder / "dataset", csv, f"--images={pictures}", *common, *flags)


def digits(folder: Path) -> str:
    """Idx files of 50 and 20 grey pictures 28x28: a bar in row 2 * class, of ten classes."""
    source = folder / "idx"
    source.mkdir()
    for prefix, count in (("train", 50), ("t10k", 20)):
        labels = (np.arange(count) % 10).astype(np.uint8)
        pixels = np.zeros((count, 28, 28), np.uint8)
        for row, label in enumerate(labels):
            pixels[row, 2 * label : 2 * label + 3] = 255
        header = struct.pack(">IIII", 0x803, count, 28, 28)
        images = gzip.compress(header + pixels.tobytes())
        (source / f"{prefix}-images-idx3-ubyte.gz").write_bytes(images)
        header = struct.pack(">II", 0x801, count)
        (source / f"{prefix}-labels-idx1-ubyte").write_bytes(header + labels.tobytes())
    return build(
        folder / "digits", "--source=idx", f"--images={source}", "--variants=1", "--shards=1"
    )


QUIET = {f"tensorboard.{name}": False for name in ("graph", "histograms", "pictures")}
TRIPLET = {
    "epochs": 2,
    "batch_size": 8,
    "image_size": 24,
    "model.backbone": "mlp",
    "model.dropout": 0.3,
    "model.embedding_size": 4,
    "optimizer.name": "adam",
    "augment.enabled": True,
    "augment.crop": 24,
    "augment.flip": True,
    "data.variants": 0,
    "profile.steps": (),
    **QUIET,
}
CLASSIFICATION = {
    "task": "classification",
    "epochs": 2,
    "batch_size": 8,
    "image_size": 24,
    "model.backbone": "mlp",
    "model.dropout": 0.2,
    "optimizer.name": "adam",
    "data.variants": 0,
    "profile.steps": (),
    **QUIET,
}


def configuration(base: dict[str, Any], **changes: Any) -> Config:
    """The defaults with a base and changes; `__` stands for the dot of a key."""
    values = {**base, **{k.replace("__", "."): v for k, v in changes.items()}}
    config = with_values(Config(), values)
    check_config(config)
    return config


def write_config(path: Path, base: dict[str, Any], **changes: Any) -> str:
    """The same as a file for `--config`."""
    values = to_dict(configuration(base, **changes))
    path.write_text(
        "from trainer.config import from_dict\n\n"
        f"def get_config():\n    return from_dict({values!r})\n",
        encoding="utf-8",
    )
    return str(path)


def hub_module(path: Path) -> None:
    """Mean red, green and blue, times three weights, as a SavedModel."""
    import tensorflow as tf

    class Means(tf.Module):
        def __init__(self):
            super().__init__()
            self.scale = tf.Variable(tf.ones([3]), name="scale")

        @tf.function(input_signature=[tf.TensorSpec([None, 24, 24, 3], tf.float32)])
        def __call__(self, images):
            return tf.reduce_mean(images, axis=(1, 2)) * self.scale

    # The interface of hub.KerasLayer: a trackable with these three names.
    root, means = tf.train.Checkpoint(), Means()
    root.variables = root.trainable_variables = [means.scale]
    root.__call__ = means.__call__
    tf.saved_model.save(root, str(path))
