"""Which picture goes to which shard, and what makes a shard another one."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess.build import dataset_plan as planning
from preprocess.build.dataset_plan import LADDER, make_plan, shard_count
from preprocess.dataset_format import image_key, shard_of
from preprocess.shards.shard_plan import Options, ShardPlan
from preprocess.shell.errors import DataError
from preprocess.sources.rows import Picture, Source, Triplet

OPTIONS = Options("classification", 0, 3, "", "jpeg", 95, 0, "stretch", 4)


def source(folder, ids, split="train"):
    pictures = []
    for image_id in ids:
        path = folder / image_id
        if not path.exists():
            path.write_bytes(b"x")
        pictures.append(Picture(image_id, split, 0, str(path), None, None))
    return Source("classification", pictures, classes=["a"])


def ids_of(shard):
    return [json.loads(line)["id"] for line in shard.lines]


def test_a_picture_stands_in_the_shard_of_its_key_and_in_key_order(tmp_path):
    names = [f"p{n}" for n in range(40)]
    plan = make_plan(source(tmp_path, names), OPTIONS)
    assert [shard.shard for shard in plan.shards] == [0, 1, 2, 3]
    read = [name for shard in plan.shards for name in ids_of(shard)]
    assert read == sorted(names, key=image_key)
    for shard in plan.shards:
        assert {shard_of(image_key(name), 4) for name in ids_of(shard)} <= {shard.shard}


def test_a_new_picture_changes_its_own_shard_only(tmp_path):
    few, more = (
        make_plan(source(tmp_path, [f"p{n}" for n in range(count)]), OPTIONS) for count in (20, 21)
    )
    changed = [
        a.shard
        for a, b in zip(few.shards, more.shards, strict=True)
        if a.fingerprint(OPTIONS) != b.fingerprint(OPTIONS)
    ]
    assert changed == [shard_of(image_key("p20"), 4)]
    assert few.fingerprint() != more.fingerprint()


def test_a_touched_picture_changes_its_shard(tmp_path):
    rows = source(tmp_path, ["a", "b"])
    options = dataclasses.replace(OPTIONS, shards=1)
    before = make_plan(rows, options).fingerprint()
    assert make_plan(rows, options).fingerprint() == before
    (tmp_path / "a").write_bytes(b"xy")
    assert make_plan(rows, options).fingerprint() != before


@pytest.mark.parametrize(
    ("field", "value"),
    [("seed", 1), ("variants", 4), ("encoding", "png"), ("quality", 90), ("image_size", 8)],
)
def test_every_option_is_part_of_the_fingerprint(tmp_path, field, value):
    """But a shard's own leaves out what has no say in variant 0."""
    rows = source(tmp_path, ["a"])
    plan = make_plan(rows, OPTIONS)
    other = make_plan(rows, dataclasses.replace(OPTIONS, **{field: value}))
    assert plan.fingerprint() != other.fingerprint()
    of_a_shard = [p.shards[-1].fingerprint(p.options) for p in (plan, other)]
    assert (of_a_shard[0] == of_a_shard[1]) == (field in ("seed", "variants"))
    assert (plan.options.drawing == other.options.drawing) == (field != "seed")


def test_a_refused_row_more_in_a_table_is_another_input(tmp_path):
    rows = source(tmp_path, ["a"])
    rows.tables = {"labels.csv": "11"}
    before = make_plan(rows, OPTIONS).fingerprint()
    rows.tables = {"labels.csv": "22"}
    assert make_plan(rows, OPTIONS).fingerprint() != before


def test_only_train_has_more_than_one_variant(tmp_path):
    rows = source(tmp_path, ["a"])
    rows.pictures.append(rows.pictures[0]._replace(id="b", split="test"))
    plan = make_plan(rows, OPTIONS)
    assert {shard.split: shard.variants for shard in plan.shards} == {"train": 3, "test": 1}


def test_without_a_picture_there_is_no_plan(tmp_path):
    with pytest.raises(DataError, match="no pictures: "):
        make_plan(source(tmp_path, []), OPTIONS)


def test_ids_that_share_a_key_are_an_error_in_whatever_splits_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(planning, "image_key", lambda image_id: 5)
    rows = source(tmp_path, ["a", "b"])
    rows.pictures[1] = rows.pictures[1]._replace(split="test")
    with pytest.raises(DataError, match="'a' and 'b' have the same hash: rename one"):
        make_plan(rows, OPTIONS)


def test_a_picture_that_went_away_meanwhile_is_named(tmp_path):
    rows = source(tmp_path, ["a"])
    (tmp_path / "a").unlink()
    with pytest.raises(DataError, match="/a' disappeared"):
        make_plan(rows, OPTIONS)


def test_every_triplet_is_in_one_shard_in_table_order(tmp_path):
    rows = source(tmp_path, ["a", "b", "c"])
    triplet = Triplet("train", ("a", "b", "c"), (0.1, 0.2, 0.7), "x", 0)
    rows.triplets = [triplet._replace(line=line) for line in range(2, 2002)]
    plan = make_plan(rows, OPTIONS)
    shards = [shard for shard in plan.shards if shard.kind == "triplets"]
    # 2,000 triplets are worth 250 pictures of work, at 64 a shard: 4.
    assert len(shards) == 4
    lines = [json.loads(line)["line"] for shard in shards for line in shard.lines]
    assert lines == list(range(2, 2002))


def test_pictures_refused_at_once_are_known_by_their_keys(tmp_path):
    rows = source(tmp_path, ["a", "b"])
    rows.triplets = [Triplet("train", ("a", "b", "gone"), (0.1, 0.2, 0.7), "x", 2)]
    assert make_plan(rows, OPTIONS).refused_keys == {image_key("gone")}


@given(st.integers(0, 10**8), st.floats(0, 1e13))
def test_shard_counts_are_rungs_and_shards_are_not_larger_than_wanted(records, size):
    count = shard_count(records, size)
    assert count in LADDER or count % LADDER[-1] == 0
    assert size / count <= planning.SHARD_BYTES * 1.001


def test_a_small_set_still_gives_work_to_all():
    """8 shards of at least 64 pictures: 100 pictures make 2, 1,000 make 8."""
    assert [shard_count(n, 0) for n in (1, 64, 100, 1000, 10**6)] == [1, 1, 2, 8, 8]


@given(st.lists(st.text().map(json.dumps), max_size=4))
def test_a_plan_file_reads_back(lines):
    shard = ShardPlan("train", "images", 1, 2, 3, tuple(lines), len(lines))
    assert ShardPlan.from_text(shard.to_text()) == shard


@given(st.lists(st.text().map(json.dumps), max_size=4))
def test_a_shards_fingerprint_is_the_hash_of_its_options_and_lines(lines):
    """Markers on disks hold it: sha256 of the options, a header and the lines, each with a line
    feed.
    """
    shard = ShardPlan("train", "images", 1, 2, 3, tuple(lines), len(lines))
    header = '{"kind": "images", "shard": 1, "shards": 2, "split": "train"}'
    text = "".join(f"{line}\n" for line in (OPTIONS.original, header, *lines))
    assert shard.fingerprint(OPTIONS) == hashlib.sha256(text.encode()).hexdigest()


def test_an_outline_is_the_plan_without_its_lines(tmp_path):
    """20 pictures and 18 triplets over 4 + 1 shards."""
    names = [f"p{n}" for n in range(20)]
    rows = source(tmp_path, names)
    triplet = Triplet("train", ("p0", "p1", "gone"), (0.1, 0.2, 0.7), "x", 2)
    rows.triplets = [triplet] * 18
    plan = make_plan(rows, OPTIONS)
    outline = plan.outline()
    assert outline.fingerprint() == plan.fingerprint()
    assert outline.outline() == outline
    assert [shard.inputs for shard in outline.shards] == [len(s.lines) for s in plan.shards]
    assert sum(s.inputs for s in outline.shards if s.kind == "images") == 20
    assert sum(s.inputs for s in outline.shards if s.kind == "triplets") == 18
    assert not any(shard.lines for shard in outline.shards)
    whole = {shard.name: shard for shard in plan.shards}
    for shard in outline.shards:
        assert dataclasses.replace(shard, lines=whole[shard.name].lines) == whole[shard.name]
    beside = dataclasses.replace(outline, shards=plan.shards, known_fingerprint="")
    assert beside == plan
