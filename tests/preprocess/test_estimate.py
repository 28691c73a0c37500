"""`preprocess plan`: what it says beforehand against what the build then does."""

from __future__ import annotations

import json
from pathlib import Path

from preprocess import dataset_format as df
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
    assert any("3 shards do not divide evenly among 2 workers" in w for w in warnings)
    assert any("--shards=4" in w for w in warnings)


def test_a_picture_that_will_be_refused_is_found_in_the_sample(
    tmp_path: Path, faces: dict[str, Path]
) -> None:
    import shutil

    images = tmp_path / "images"
    shutil.copytree(faces["images"], images)
    sorted(images.iterdir())[0].write_bytes(b"no picture")
    warnings = plan(tmp_path / "d", {**faces, "images": images}, "--variants=1")["warnings"]
    assert any("sampled pictures are refused" in w for w in warnings)
