"""`preprocess plan`: what it says beforehand against what the build then does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from preprocess import dataset_format as df
from preprocess.shards.shard_plan import ShardPlan
from tests.preprocess import made


def plan(output: Path, faces: dict[str, Path], *more: str) -> dict:
    flags = [f"--csv={faces['csv']}", f"--images={faces['images']}", f"--output={output}"]
    done = made.run("plan", "--source=fec", *flags, "--json", "--workers=2", *more)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_it_says_what_the_build_then_writes_and_writes_nothing(
    tmp_path: Path, faces: dict[str, Path]
) -> None:
    """All pictures are in the sample here, so bytes differ by the triplets' estimate only."""
    output = tmp_path / "dataset"
    found = plan(output, faces, "--variants=3", "--shards=4", "--encoding=png")
    assert not output.exists()
    made.built("fec", output, **faces, variants=3, shards=4, encoding="png")
    manifest = df.Manifest.load(output)
    for name, split in manifest.splits.items():
        row = found["splits"][name]
        assert row["pictures"] == split.images
        assert row["triplets"] == split.triplets
        assert row["variants"] == split.variants
        assert row["shards"] == len(split.image_shards(0))
        images = sum(s.bytes for s in split.shards if s.kind == df.IMAGES)
        assert images <= row["bytes"] <= images + 400 * split.triplets
    assert sum(found["triplet_types"].values()) == found["triplets"]
    assert sum(found["vote_agreement"].values()) == found["triplets"]
    assert found["core_hours"] > 0


def test_shards_that_do_not_divide_are_warned_about(tmp_path: Path, faces: dict[str, Path]) -> None:
    warnings = plan(tmp_path / "d", faces, "--variants=1", "--shards=3")["warnings"]
    assert any("3 shards cannot be divided evenly among 2 workers" in w for w in warnings)
    assert any("--shards=4" in w for w in warnings)


def test_a_picture_that_will_be_refused_is_found_in_the_sample(
    tmp_path: Path, faces: dict[str, Path]
) -> None:
    images = tmp_path / "images"
    shutil.copytree(faces["images"], images)
    sorted(images.iterdir())[0].write_bytes(b"no picture")
    warnings = plan(tmp_path / "d", {**faces, "images": images}, "--variants=1")["warnings"]
    assert any("sampled pictures would be refused" in w for w in warnings)


def test_a_picture_in_two_splits_under_two_names_is_found(tmp_path: Path) -> None:
    images = made.class_folders(tmp_path / "in", count=6)
    arguments = ["plan", "--source=folders", f"--images={images}", f"--output={tmp_path}/d"]

    def warnings() -> list[str]:
        done = made.run(*arguments, "--json", "--variants=1")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["warnings"]

    assert not [w for w in warnings() if "two splits" in w]
    shutil.copy(images / "train" / "cat" / "000.jpg", images / "test" / "dog" / "other.jpg")
    (found,) = [w for w in warnings() if "two splits" in w]
    assert found.startswith("1 of ") and "'train/cat/000.jpg'" in found
    assert "'test/dog/other.jpg'" in found


def test_triplets_that_nobody_agreed_on_are_warned_about(
    tmp_path: Path, faces: dict[str, Path]
) -> None:
    """8 of the 26 rows have no vote above one half: more than a quarter."""
    lines = faces["csv"].read_text().splitlines()
    doubtful = [line.replace("0.1,0.2,0.7", "0.5,0.25,0.25") for line in lines[1:9]]
    rows = [lines[0], *doubtful, *lines[9:]]
    rows[-1] = rows[-1].replace("ONE_CLASS", "OTHER")
    table = made.write_table(tmp_path / "labels.csv", rows)
    warnings = plan(tmp_path / "d", {**faces, "csv": table}, "--variants=1")["warnings"]
    assert any(w.startswith("8 of 26 triplets have no vote above 0.5") for w in warnings)
    assert "triplet types missing from train: OTHER" in warnings
    fine = plan(tmp_path / "d", faces, "--variants=1")["warnings"]
    assert not [w for w in fine if "triplet" in w]


def test_what_a_build_would_doubt_is_said_before(tmp_path: Path) -> None:
    made.save(tmp_path / "in" / "cat" / "1.jpg")
    done = made.run(
        "plan", "--source=folders", f"--images={tmp_path}/in", f"--output={tmp_path}/d", "--json"
    )
    warnings = json.loads(done.stdout)["warnings"]
    assert any("there is only a training split" in warning for warning in warnings)
    assert any("only one class, 'cat'" in warning for warning in warnings)


def test_huge_shards_are_warned_about(faces: dict[str, Path], tmp_path: Path) -> None:
    from preprocess.build import estimate

    sample = estimate.Sample(1, [], set(), 0.0, 0.0, {})
    shard = ShardPlan("train", df.IMAGES, 0, 1, 2, ())
    for size, warned in ((2 * (512 << 20), False), (2 * (512 << 20) + 2, True)):
        found = estimate._warnings("train", [shard], size, sample, 1, by_hand=True)
        assert any("more --shards" in warning for warning in found) == warned


def test_a_split_so_small_that_it_is_one_shard_is_not_warned_about(tmp_path: Path) -> None:
    images = made.class_folders(tmp_path / "in", count=2)
    arguments = [f"--images={images}", f"--output={tmp_path / 'd'}", "--workers=2", "--json"]
    done = made.run("plan", *arguments)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert 1 in [split["shards"] for split in found["splits"].values()]
    assert not any("divided evenly" in warning for warning in found["warnings"])
    warned = json.loads(made.run("plan", *arguments, "--shards=1").stdout)["warnings"]
    assert any("1 shards cannot be divided evenly" in warning for warning in warned)
