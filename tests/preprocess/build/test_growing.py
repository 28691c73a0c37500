"""Variants are added to a dataset without touching those it has."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from preprocess import dataset_format as df
from preprocess.shards import build_shard as shards
from preprocess.shell.errors import ConfigError
from tests.preprocess import made

# The dataset of conftest: 4 shards of train in 3 variants, 4 of test in one, a triplet shard each.
SAME = {"shards": 4, "encoding": "png"}


@pytest.fixture(scope="module")
def five(faces, tmp_path_factory) -> Path:
    """The same set in 5 variants, in one go. To be read only."""
    output = tmp_path_factory.mktemp("five") / "dataset"
    made.built("fec", output, **faces, **SAME, variants=5)
    return output


def stayed(dataset: Path, before: dict[str, tuple[int, int]]) -> bool:
    after = made.shard_states(dataset)
    return all(after.get(name) == state for name, state in before.items())


def test_three_become_five_and_the_three_are_not_touched(dataset, rebuild, five):
    """4 train shards get 2 variants each; 4 * 3 + 4 + 2 files stay."""
    before = made.shard_states(dataset)
    summary = rebuild(variants=5)
    assert "adding variants 3 to 4" in summary["said"]
    assert "building 4 of 10 shards: 24 pictures, 48 variants" in summary["said"]
    assert (summary["shards_written"], summary["shards_reused"]) == (8, 18)
    assert stayed(dataset, before)
    assert made.files(dataset) == made.files(five)
    assert "nothing to do" in rebuild(variants=5)["said"]


@pytest.mark.parametrize("seed", [0, 7])
def test_one_becomes_many_where_no_recipe_was_recorded(faces, tmp_path, seed):
    """Variant 0 has nothing random: another seed may come with the first of the others."""
    out = tmp_path / "out"
    made.built("fec", out, **faces, **SAME, variants=1)
    before = made.shard_states(out)
    made.built("fec", out, **faces, **SAME, variants=3, seed=seed, recipe="photos")
    assert stayed(out, before)
    whole = tmp_path / "whole"
    made.built("fec", whole, **faces, **SAME, variants=3, seed=seed, recipe="photos")
    assert made.files(out) == made.files(whole)


def test_a_half_finished_set_grows_too(dataset, rebuild, five):
    """The shard that was not finished is built in all five variants, the others in two more."""
    (dataset / ".build" / "done" / "train-images-00002.json").unlink()
    (dataset / "dataset.json").unlink()
    before = {n: s for n, s in made.shard_states(dataset).items() if "images-00002" not in n}
    summary = rebuild(variants=5)
    assert (summary["shards_written"], summary["shards_reused"]) == (3 * 2 + 5, 3 * 3 + 4 + 2)
    assert stayed(dataset, before)
    assert made.files(dataset) == made.files(five)


def test_stopped_while_growing_it_still_is_the_dataset_it_was(
    dataset, rebuild, faces_dataset, five, monkeypatch
):
    """Readers of the three variants go on with the manifest, whose files all stay."""
    before = made.shard_states(dataset)
    write = shards.RecordWriter.write

    def fail_late(writer, key, payload):
        if "variant-04/images-00002" in writer.path:
            raise ValueError("broken")
        write(writer, key, payload)

    with monkeypatch.context() as patch:
        patch.setattr(shards.RecordWriter, "write", fail_late)
        with pytest.raises(Exception, match="broken"):
            rebuild(variants=5)
    assert stayed(dataset, before)
    assert df.Manifest.load(dataset).variants == 3
    grown = [n for n in made.shard_states(dataset) if n not in before]
    assert grown, "it was not in the middle"
    states = made.shard_states(dataset)
    rebuild(variants=5)
    assert stayed(dataset, states)
    assert made.files(dataset) == made.files(five)


def test_a_changed_picture_is_rebuilt_in_all_variants_old_and_new(faces, tmp_path):
    images = tmp_path / "images"
    shutil.copytree(faces["images"], images)
    flags = {**faces, "images": images, **SAME}
    out = tmp_path / "out"
    made.built("fec", out, **flags, variants=2)
    before = made.shard_states(out)
    made.save(images / "f003.jpg", 99)
    number = df.shard_of(df.image_key("f003"), 4)
    made.built("fec", out, **flags, variants=3)
    changed = {n for n, state in made.shard_states(out).items() if before.get(n, state) != state}
    name = f"images-{number:05d}-of-00004"
    assert changed == {
        f"train/variant-{v:02d}/{name}.{end}" for v in (0, 1) for end in ("tfrecord", "index")
    }
    made.built("fec", tmp_path / "whole", **flags, variants=3)
    assert made.files(out) == made.files(tmp_path / "whole")


def test_fewer_variants_are_refused_and_with_overwrite_taken_away(dataset, rebuild, faces):
    before = made.shard_states(dataset)
    with pytest.raises(ConfigError, match="variants '3' -> '2'"):
        rebuild(variants=2)
    assert made.shard_states(dataset) == before
    summary = rebuild(variants=2, overwrite=True)
    assert (summary["shards_written"], summary["shards_reused"]) == (4 * 2 + 4 + 2, 0)
    after = made.shard_states(dataset)
    assert set(after) == {name for name in before if "variant-02" not in name}
    assert made.manifest(dataset).variants == 2


def test_one_variant_less_than_one_recipe_says_only_the_variants(dataset, rebuild):
    with pytest.raises(ConfigError, match=r"other options \(variants '3' -> '1'\)"):
        rebuild(variants=1)


def test_another_recipe_builds_all_of_it_anew(dataset, rebuild, faces, tmp_path):
    summary = rebuild(recipe="photos", overwrite=True)
    assert (summary["shards_written"], summary["shards_reused"]) == (4 * 3 + 4 + 2, 0)
    made.built("fec", tmp_path / "whole", **faces, **SAME, variants=3, recipe="photos")
    assert made.files(dataset) == made.files(tmp_path / "whole")


def test_a_picture_that_stopped_being_one_unseen_takes_its_shard_with_it(faces, tmp_path):
    """Same size and time, other bytes: the plan cannot know. All variants hold the same
    pictures, so the old ones are made again, and the triplets.
    """
    images = tmp_path / "images"
    shutil.copytree(faces["images"], images)
    flags = {**faces, "images": images, **SAME, "max_bad_fraction": 0.1}
    out = tmp_path / "out"
    made.built("fec", out, **flags, variants=2)
    picture = images / "f003.jpg"
    status = picture.stat()
    picture.write_bytes(bytes(status.st_size))
    os.utime(picture, ns=(status.st_atime_ns, status.st_mtime_ns))
    made.built("fec", out, **flags, variants=3)
    made.built("fec", tmp_path / "whole", **flags, variants=3)
    assert made.files(out) == made.files(tmp_path / "whole")
    assert made.manifest(out).splits["train"].images == 23


# --- libraries


def of_another_time(dataset: Path) -> None:
    """Makes it a dataset by an older OpenCV."""
    for marker in (dataset / ".build" / "done").glob("*-images-*.json"):
        report = json.loads(marker.read_text())
        report["libraries"]["opencv-python-headless"] = "4.0.0"
        marker.write_text(json.dumps(report))


def test_half_of_it_by_another_opencv_is_refused(dataset, rebuild):
    of_another_time(dataset)
    before = made.files(dataset)
    with pytest.raises(ConfigError, match=r"opencv-python-headless 4\.0\.0 \(here "):
        rebuild(variants=5)
    assert made.files(dataset) == before
    assert "nothing to do" in rebuild()["said"]


def test_with_overwrite_all_of_it_is_built_by_the_opencv_at_hand(dataset, rebuild, five):
    of_another_time(dataset)
    summary = rebuild(variants=5, overwrite=True)
    assert (summary["shards_written"], summary["shards_reused"]) == (4 * 5 + 4 + 2, 0)
    assert made.files(dataset) == made.files(five)


def test_workers_with_different_libraries_do_not_make_a_dataset(faces, tmp_path, monkeypatch):
    versions = iter([{"numpy": "1"}, {"numpy": "2"}] * 4)
    monkeypatch.setattr(shards, "deciding_versions", lambda _: next(versions))
    with pytest.raises(ConfigError, match=r"different library versions \(numpy 1 and 2\)"):
        made.built("fec", tmp_path / "out", **faces, **SAME, variants=1)
    assert not (tmp_path / "out" / "dataset.json").exists()
