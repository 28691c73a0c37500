"""Whatever fails for one picture costs that picture, with its name and a reason, everywhere."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from preprocess.augment.operations.horizontal_flip import HorizontalFlip
from preprocess.shards import build_shard
from preprocess.shell.errors import ConfigError
from tests.preprocess import made

RECIPE = "version: 1\noperations:\n- horizontal_flip: {probability: 1.0}\n"
BUDGET = 0.3


def with_strip(folder: Path) -> Path:
    """Class folders with one picture of 40,000 x 3 pixels, more than a warp may have a side."""
    images = made.class_folders(folder, count=4)
    Image.new("RGB", (40_000, 3), "red").save(images / "train" / "cat" / "strip.png")
    return images


def refused(dataset: Path) -> dict[str, tuple[str, str]]:
    return {r["source"]: (r["reason"], r["detail"]) for r in made.rejected(dataset)}


def recipe(folder: Path) -> str:
    path = folder / "recipe.yaml"
    path.write_text(RECIPE)
    return str(path)


@pytest.fixture(scope="module")
def strip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("strip")
    images = with_strip(root / "in")
    flags: dict[str, Any] = {"images": images, "variants": 2, "max_bad_fraction": BUDGET}
    made.built("folders", root / "out", **flags)
    return images, root / "out"


def test_a_picture_too_wide_for_the_recipe_is_refused_and_the_others_are_built(strip):
    _, dataset = strip
    ((source, (reason, detail)),) = refused(dataset).items()
    assert (source, reason) == ("train/cat/strip.png", "recipe_failed")
    assert "32766" in detail and "40000" in detail
    for variant in (0, 1):
        assert len(made.image_records(dataset, "train", variant)) == 8


def test_without_a_recipe_it_is_stored(tmp_path):
    images = with_strip(tmp_path / "in")
    made.built("folders", tmp_path / "out", images=images, variants=1)
    assert made.manifest(tmp_path / "out").splits["train"].images == 9


def test_plan_names_it(strip, tmp_path):
    images, _ = strip
    flags = ["--source=folders", f"--images={images}", f"--output={tmp_path}/d", "--variants=2"]
    done = made.run("plan", *flags, "--json")
    assert done.returncode == 0, done.stderr
    (warning,) = [w for w in json.loads(done.stdout)["warnings"] if "refused" in w]
    assert "1 of 9" in warning and "'train/cat/strip.png': recipe_failed" in warning


def test_explain_says_why_it_is_not_there(strip):
    _, dataset = strip
    done = made.run("explain", str(dataset), "train/cat/strip.png", "1")
    assert done.returncode == 65
    assert re.search("strip.png' was refused by the build: recipe_failed: .*32766", done.stderr)


@pytest.mark.parametrize(
    "fault",
    [cv2.error("OpenCV: too large"), MemoryError("no room"), ConfigError("changes the shape")],
    ids=["OpenCV", "memory", "a pipeline"],
)
def test_whatever_a_step_of_the_recipe_raises_for_one_picture_refuses_it(
    tmp_path, monkeypatch, fault
):
    """The darkest picture of all is the one that the step cannot bear."""
    images = made.class_folders(tmp_path / "in", count=4)
    Image.new("RGB", (24, 20)).save(images / "train" / "dog" / "dark.png")
    apply = HorizontalFlip.apply

    def failing(canvas: Any, numbers: Any) -> None:
        if not canvas.read().any():
            raise fault
        apply(canvas, numbers)

    monkeypatch.setattr(HorizontalFlip, "apply", staticmethod(failing))
    made.built(
        "folders",
        tmp_path / "out",
        images=images,
        variants=3,
        recipe=recipe(tmp_path),
        max_bad_fraction=BUDGET,
    )
    ((source, (reason, detail)),) = refused(tmp_path / "out").items()
    assert (source, reason) == ("train/dog/dark.png", "recipe_failed")
    assert str(fault).split(":")[-1].strip() in detail
    assert len(made.image_records(tmp_path / "out", "train", 2)) == 8


def test_a_picture_that_cannot_be_encoded_is_in_no_variant(tmp_path, monkeypatch):
    """Its first variants could be: none of them stays."""
    images = made.class_folders(tmp_path / "in", count=4)
    Image.new("RGB", (24, 20), (255, 0, 0)).save(images / "train" / "dog" / "red.bmp")
    encode = build_shard.encode
    seen: list[int] = []

    def failing(image: np.ndarray, encoding: str, quality: int) -> bytes:
        if (image == (255, 0, 0)).all():
            seen.append(1)
            if len(seen) == 3:
                raise ValueError("OpenCV cannot write it")
        return encode(image, encoding, quality)

    monkeypatch.setattr(build_shard, "encode", failing)
    flags: dict[str, Any] = {"variants": 3, "recipe": recipe(tmp_path), "max_bad_fraction": BUDGET}
    made.built("folders", tmp_path / "out", images=images, **flags)
    assert refused(tmp_path / "out") == {
        "train/dog/red.bmp": ("encoding_failed", "ValueError: OpenCV cannot write it")
    }
    for variant in range(3):
        assert len(made.image_records(tmp_path / "out", "train", variant)) == 8


def test_a_recipe_that_fails_for_every_picture_ends_before_anything_is_written(
    tmp_path, monkeypatch
):
    images = made.class_folders(tmp_path / "in", count=4)

    def failing(canvas: Any, numbers: Any) -> None:
        raise ValueError("never works")

    monkeypatch.setattr(HorizontalFlip, "apply", staticmethod(failing))
    flags: dict[str, Any] = {"variants": 2, "recipe": recipe(tmp_path), "max_bad_fraction": 1.0}
    with pytest.raises(
        ConfigError, match=r"fails for all 8 pictures .* first is 'train/.*never works"
    ):
        made.built("folders", tmp_path / "out", images=images, **flags)
    assert not list((tmp_path / "out").rglob("*.tfrecord"))


def test_a_damaged_record_costs_a_preview_its_row_only(strip, tmp_path):
    """One byte of the first record's pixels is another one."""
    _, dataset = strip
    copy = tmp_path / "copy"
    copy.mkdir()
    for name, content in made.files(dataset).items():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes(content)
    (shard, *_) = sorted((copy / "train" / "variant-01").glob("*.tfrecord"))
    content = bytearray(shard.read_bytes())
    content[200] ^= 1
    shard.write_bytes(content)
    done = made.run("preview", str(copy), f"--output={tmp_path}/p.png", "--rows=64")
    assert done.returncode == 0, done.stderr
    assert "left out: picture 0" in done.stderr
    with Image.open(tmp_path / "p.png") as sheet:
        assert sheet.height > 7 * 112  # 7 of 8 rows
