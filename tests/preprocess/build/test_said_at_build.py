"""What a user would learn later, from the trainer or from rejected.jsonl, is said by the build."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from preprocess.build.refusal_examples import examples
from preprocess.shell.errors import DataError
from preprocess.sources.refusals import Rejection
from preprocess.sources.splitting import parse_splits
from tests.preprocess import made


def warnings(summary: dict[str, Any]) -> list[str]:
    return re.findall(r"^warning: (.*)$", summary["said"], re.M)


# --- what the trainer would refuse


def sized_triplets(folder: Path) -> dict[str, Any]:
    """A face of another size among the others."""
    flags: dict[str, Any] = made.triplet_set(folder)
    Image.new("RGB", (30, 40)).save(flags["images"] / "f005.jpg")
    return flags


def test_triplets_of_several_sizes_are_said_to_need_one(tmp_path):
    flags = sized_triplets(tmp_path)
    (said,) = [w for w in warnings(made.built("fec", tmp_path / "a", **flags)) if "sizes" in w]
    assert "24x20 and 30x40" in said and "--image_size=N" in said
    resized = made.built("fec", tmp_path / "b", **flags, image_size=16)
    assert not [w for w in warnings(resized) if "sizes" in w]


def test_plan_says_it_of_its_sample(tmp_path):
    flags = [f"--{name}={value}" for name, value in sized_triplets(tmp_path).items()]
    output = f"--output={tmp_path}/d"
    done = made.run("plan", "--source=fec", *flags, output, "--variants=1", "--json")
    assert [w for w in json.loads(done.stdout)["warnings"] if "24x20 and 30x40" in w]


def test_classes_of_several_sizes_are_fine(tmp_path):
    images = made.class_folders(tmp_path / "in", count=2)
    Image.new("RGB", (30, 40)).save(images / "train" / "cat" / "other.jpg")
    summary = made.built("folders", tmp_path / "out", images=images)
    assert not [w for w in warnings(summary) if "sizes" in w]


def test_a_test_set_alone_is_built_for_evaluation(tmp_path):
    images = made.class_folders(tmp_path / "in", count=2)
    for path in (images / "train").rglob("*.jpg"):
        path.unlink()
    summary = made.built("folders", tmp_path / "out", images=images, variants=3)
    (said,) = [w for w in warnings(summary) if "no training split" in w]
    assert "evaluate --split=test" in said
    assert made.manifest(tmp_path / "out").splits["test"].images == 4
    verified = made.run("verify", str(tmp_path / "out"), "--deep")
    assert verified.returncode == 0, verified.stderr
    shown = made.run("preview", str(tmp_path / "out"), f"--output={tmp_path}/p.png")
    assert shown.returncode == 0, shown.stderr


def test_a_test_set_of_which_nothing_is_left_is_no_dataset(tmp_path):
    images = made.class_folders(tmp_path / "in", names=("a",), count=2)
    for path in images.rglob("*.jpg"):
        path.write_bytes(b"") if "test" in path.parts else path.unlink()
    with pytest.raises(DataError, match="every picture was refused"):
        made.built("folders", tmp_path / "out", images=images, max_bad_fraction=1.0)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"splits": parse_splits("train:0.999,test:0.001")}, "--splits gave test no"),
        ({"splits": parse_splits("train:0.001,test:0.999")}, "--splits gave train no"),
        ({"validation_fraction": 0.001}, "--validation_fraction gave validation no"),
        ({}, "--splits=train:0.8,test:0.2 or"),
    ],
    ids=["test", "train", "validation", "none"],
)
def test_a_draw_that_gave_a_split_nothing_is_called_that(tmp_path, given, said):
    """Two pictures, drawn by their ids: one in a thousand goes to the small part."""
    for number in range(2):
        made.save(tmp_path / "in" / "ab"[number] / "x.jpg", number)
    found = warnings(made.built("folders", tmp_path / "out", images=tmp_path / "in", **given))
    assert [w for w in found if said in w]
    advice = [w for w in found if "--splits=train:0.8,test:0.2 or" in w]
    assert bool(advice) is not bool(given)


# --- examples of refusals


def refused(summary: str) -> list[str]:
    return re.findall(r"^refused: (.*)$", summary, re.M)


def test_the_first_two_of_each_reason_are_shown_with_place_and_cause(tmp_path):
    images = made.class_folders(tmp_path / "in", names=("a",), count=8)
    for number in range(3):
        (images / "train" / "a" / f"00{number}.jpg").write_bytes(b"")
    (images / "train" / "a" / "003.jpg").write_bytes(b"<html>404")
    summary = made.built("folders", tmp_path / "out", images=images, max_bad_fraction=0.5)
    shown = refused(summary["said"])
    assert len(shown) == 3
    assert len([line for line in shown if "empty_file: the file has zero bytes" in line]) == 2
    assert [line for line in shown if line.startswith("'train/a/003.jpg': not_a_picture: ")]


def test_they_are_shown_where_the_build_ends_by_its_budget_too(tmp_path):
    table = made.write_table(tmp_path / "t.csv", ["path,label", "q0.jpg,a", "q1.jpg,b", "q2.jpg,b"])
    made.save(tmp_path / "img" / "p.jpg")
    flags = [f"--csv={table}", f"--images={tmp_path}/img", f"--output={tmp_path}/out"]
    done = made.run("build", "--source=csv", *flags)
    assert done.returncode == 65
    shown = refused(done.stderr)
    assert len(shown) == 2
    assert "q0.jpg" in shown[0] and "missing_picture" in shown[0]


def test_a_line_is_one_line_of_bounded_length_and_names_the_table():
    rows = [
        Rejection("t.csv", 7, "table", "bad_votes", "they sum\nto 1.4"),
        Rejection("a" * 500 + ".jpg", 9, "picture", "empty_file"),
        Rejection("f1, f2", 3, "triplet", "picture_refused"),
    ]
    first, second = examples(rows)
    assert first == "'t.csv', line 7: bad_votes: they sum to 1.4"
    assert len(second) < 200
    assert second.endswith(".jpg' (line 9 of the table): empty_file")


# --- limits of the system


def test_too_few_open_files_for_the_variants_are_said_before_anything_is_built(tmp_path):
    """A shard has a file open for each of its variants."""
    images = made.class_folders(tmp_path / "in", count=1)
    command = made.command("build", f"--images={images}", f"--output={tmp_path}/out")
    limited = ["bash", "-c", 'ulimit -n 50; exec "$0" "$@"', *command, "--variants=60"]
    done = subprocess.run(limited, env=made.environment(), capture_output=True, text=True)
    assert done.returncode == 78
    assert "60 variants need 108" in done.stderr and "ulimit -n 1024" in done.stderr
    assert not list((tmp_path / "out").rglob("*.tfrecord"))
