"""Small inputs made on the spot, and the two ways to run a command on them."""

from __future__ import annotations

import contextlib
import io
import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from preprocess import dataset_format as df
from preprocess.build.build_request import BuildRequest
from preprocess.build.builder import build
from preprocess.shards import reading
from preprocess.sources.rows import Request
from tests import forked

ROOT = Path(__file__).parents[2]
HEADER = "face1,face2,face3,votes1,votes2,votes3,triplet_type,subset"


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`python -m preprocess ...` as a user starts it."""
    return forked.run(command(*arguments), cwd=cwd or ROOT, env=environment())


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "preprocess", *arguments]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def request(kind: str, output: Path, **changes: Any) -> BuildRequest:
    """What a build is asked for, by the flags that are not left at their defaults."""
    of_source = {f: changes.pop(f) for f in list(changes) if f in Request.__dataclass_fields__}
    values: dict[str, Any] = {
        "kind": kind,
        "source": Request(**{k: str(v) if k in PATHS else v for k, v in of_source.items()}),
        "output": str(output),
        "variants": 1,
        "recipe": "",
        "seed": 0,
        "image_size": 0,
        "resize_mode": "stretch",
        "encoding": "",
        "quality": 95,
        "shards": 0,
        "max_bad_fraction": 0.01,
        "workers": 1,
        "overwrite": False,
    }
    return BuildRequest(**{**values, **changes})


def built(kind: str, output: Path, **changes: Any) -> dict[str, Any]:
    """A build in this process, which saves the second that importing Beam takes; what it says
    is under "said".
    """
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        summary = build(request(kind, output, **changes))
    return {**summary, "said": said.getvalue()}


PATHS = ("csv", "images")


def pixels(number: int, height: int = 20, width: int = 24) -> np.ndarray:
    """A soft picture uint8[H, W, 3], another one for each number."""
    rng = np.random.default_rng(number)
    small = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def save(path: Path, number: int = 0, mode: str = "RGB", **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(number)).convert(mode).save(path, **options)
    return path


def triplet_set(folder: Path, train: int = 24, test: int = 6) -> dict[str, Path]:
    """Faces f000.jpg, ... and a triplet for each three in a row; the flags that name them."""
    for number in range(train + test):
        save(folder / "faces" / f"f{number:03d}.jpg", number)
    return {
        "csv": write_table(folder / "labels.csv", [HEADER, *triplet_rows(train, test)]),
        "images": folder / "faces",
    }


def triplet_rows(train: int = 24, test: int = 6) -> list[str]:
    rows = []
    for subset, first, last in (("train", 0, train), ("test", train, train + test)):
        for a in range(first, last - 2):
            rows.append(f"f{a:03d},f{a + 1:03d},f{a + 2:03d},0.1,0.2,0.7,ONE_CLASS,{subset}")
    return rows


def write_table(path: Path, lines: Iterable[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def class_folders(root: Path, names: Sequence[str] = ("cat", "dog"), count: int = 5) -> Path:
    """train/CLASS/*.jpg and test/CLASS/*.jpg with `count` pictures each."""
    number = 0
    for split in ("train", "test"):
        for name in names:
            for _ in range(count):
                save(root / split / name / f"{number:03d}.jpg", number)
                number += 1
    return root


def write_idx(path: Path, values: np.ndarray) -> None:
    """An idx file of bytes."""
    header = struct.pack(f">BBBB{values.ndim}i", 0, 0, 8, values.ndim, *values.shape)
    path.write_bytes(header + values.astype(np.uint8).tobytes())


def manifest(dataset: Path) -> df.Manifest:
    return df.Manifest.load(dataset)


def rejected(dataset: Path) -> list[dict[str, Any]]:
    text = (dataset / "rejected.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def image_records(dataset: Path, split: str, variant: int = 0) -> list[dict[str, Any]]:
    """All image records of one variant, in shard order."""
    shards = manifest(dataset).splits[split].image_shards(variant)
    return [record for shard in shards for record in reading.records(str(dataset), shard.file)]


def triplet_records(dataset: Path, split: str) -> list[dict[str, Any]]:
    shards = manifest(dataset).splits[split].triplet_shards()
    return [record for shard in shards for record in reading.records(str(dataset), shard.file)]


def files(dataset: Path) -> dict[str, bytes]:
    """Every published file: relative name -> content."""
    return {
        str(path.relative_to(dataset)): path.read_bytes()
        for path in sorted(dataset.rglob("*"))
        if path.is_file() and ".build" not in path.parts
    }


def shard_states(dataset: Path) -> dict[str, tuple[int, int]]:
    """(inode, modification time) of every shard and index: another pair, another writing."""
    statuses = {name: (dataset / name).stat() for name in files(dataset)}
    return {
        name: (status.st_ino, status.st_mtime_ns)
        for name, status in statuses.items()
        if name.endswith((".tfrecord", ".index"))
    }


def times(dataset: Path) -> dict[str, int]:
    """Modification times of the published files, in nanoseconds."""
    return {name: (dataset / name).stat().st_mtime_ns for name in files(dataset)}
