"""The contract between the two packages, by its written definitions."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess import dataset_format as df

SHARD = df.Shard("train/variant-00/images-00000-of-00001.tfrecord", "images", 0, 2, 300, "ab")
MANIFEST = df.Manifest(
    task="classification",
    fingerprint="f",
    digest="d",
    versions={"numpy": "1"},
    seed=3,
    variants=1,
    recipe="",
    image=df.ImageFormat("jpeg", 95, 0, "stretch", 20, 24, None),
    classes=("cat", "собака"),
    splits={"train": df.Split(2, 0, 1, (SHARD,))},
    rejected={"count": 0, "by_reason": {}},
)
keys = st.integers(0, 2**63 - 1)


def test_a_key_is_the_first_63_bits_of_sha256():
    """sha256("abc") begins with ba7816bf8f01cfea (FIPS 180-2, appendix B.1); shifted right by one
    bit those 64 are the first 63.
    """
    assert df.image_key("abc") == 0xBA7816BF8F01CFEA // 2


@given(st.text())
def test_a_key_fits_a_non_negative_int64(image_id):
    assert 0 <= df.image_key(image_id) < 2**63


@given(st.tuples(keys, keys), st.integers(1, 1000))
def test_shards_divide_the_key_range_in_order(pair, shards):
    low, high = sorted(pair)
    assert 0 <= df.shard_of(low, shards) <= df.shard_of(high, shards) < shards
    # Each shard holds its even part of the range: [s, s + 1) * 2**63 / shards.
    shard = df.shard_of(low, shards)
    assert shard * 2**63 <= low * shards < (shard + 1) * 2**63


@given(st.integers(0, 10**6), st.integers(0, 10**4), st.integers(1, 20))
def test_in_as_many_passes_as_variants_each_variant_of_a_shard_is_read_once(start, shard, variants):
    read = [df.variant_of(start + p, shard, variants) for p in range(variants)]
    assert sorted(read) == list(range(variants))


def test_the_first_pass_uses_all_variants():
    assert {df.variant_of(0, shard, 10) for shard in range(24)} == set(range(10))


def test_file_names():
    image = df.image_shard_file("train", 7, 3, 24)
    assert image == "train/variant-07/images-00003-of-00024.tfrecord"
    assert df.index_file(image) == "train/variant-07/images-00003-of-00024.index"
    assert df.triplet_shard_file("test", 0, 4) == "test/triplets-00000-of-00004.tfrecord"


def test_an_index_is_a_line_a_record():
    entries = [df.IndexEntry(5, 0, 40), df.IndexEntry(9, 40, 16)]
    assert df.format_index(entries) == "5 0 40\n9 40 16\n"


@given(st.lists(st.builds(df.IndexEntry, keys, keys, keys)))
def test_an_index_reads_back(entries):
    assert df.parse_index(df.format_index(entries)) == entries


@pytest.mark.parametrize("text", ["1 2\n", "1 2 3 4\n", "a b c\n", "\n"])
def test_a_malformed_index_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011 - whatever int() or unpacking says
        df.parse_index(text)


def test_the_digest_is_sha256_over_the_sorted_pairs():
    text = "a.tfrecord 11\nb.tfrecord 22\n"
    expected = hashlib.sha256(text.encode()).hexdigest()
    assert df.digest([("b.tfrecord", "22"), ("a.tfrecord", "11")]) == expected


def test_a_manifest_reads_back_as_it_was():
    assert df.Manifest.from_json(MANIFEST.to_json()) == MANIFEST


def test_shards_come_in_order_by_kind_and_variant():
    def shard(file: str, kind: str = "images", variant: int = 0) -> df.Shard:
        return dataclasses.replace(SHARD, file=file, kind=kind, variant=variant)

    parts = (shard("b"), shard("a"), shard("c", variant=1), shard("e", "triplets"))
    split = df.Split(4, 4, 2, parts)
    assert [s.file for s in split.image_shards()] == ["a", "b"]
    assert [s.file for s in split.image_shards(1)] == ["c"]
    assert [s.file for s in split.triplet_shards()] == ["e"]


def test_a_split_that_is_not_there_lists_those_that_are():
    with pytest.raises(df.DatasetError, match="no split 'tset' in the dataset; it has train"):
        MANIFEST.split("tset")


def test_loads_from_the_directory_or_the_file(tmp_path):
    (tmp_path / "dataset.json").write_text(MANIFEST.to_json(), encoding="utf-8")
    assert df.Manifest.load(tmp_path) == MANIFEST
    assert df.Manifest.load(str(tmp_path / "dataset.json")) == MANIFEST


BAD = {
    "another format": ('{"format": "shardline/2"}', "format 'shardline/2'.* reads 'shardline/1'"),
    "no format": ("{}", "is not a manifest"),
    "a list": ("[]", "is not a manifest"),
    "no JSON": ("{", "is not a manifest"),
    "an unknown key": (json.dumps({**json.loads(MANIFEST.to_json()), "x": 1}), "not a manifest"),
    "a missing key": ('{"format": "shardline/1"}', "is not a manifest"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_manifest_is_refused(name, tmp_path):
    text, message = BAD[name]
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(df.DatasetError, match=message):
        df.Manifest.load(tmp_path)


def test_a_manifest_that_is_not_utf8_is_refused(tmp_path):
    (tmp_path / "dataset.json").write_bytes(b"\xff\xfe")
    with pytest.raises(df.DatasetError, match="not UTF-8"):
        df.Manifest.load(tmp_path)


def test_without_a_manifest_the_message_says_what_to_do(tmp_path):
    with pytest.raises(df.DatasetError, match=r"did not finish .run the same `preprocess build`"):
        df.Manifest.load(tmp_path)


def test_a_file_in_place_of_the_directory_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(df.DatasetError, match="cannot read"):
        df.Manifest.load(tmp_path / "file")


def shard_of_train(fields):
    return fields["splits"]["train"]["shards"][0]


HOSTILE = {
    "deep nesting": lambda _: "[" * 200_000,
    "a file name that is a number": lambda m: shard_of_train(m).update(file=5),
    "a count that is a text": lambda m: shard_of_train(m).update(records="x"),
    "a count that is true": lambda m: shard_of_train(m).update(records=True),
    "a negative count": lambda m: shard_of_train(m).update(bytes=-1),
    "a class without a name": lambda m: m.update(classes=[1, None]),
    "a class with an escape sequence": lambda m: m.update(classes=["\x1b[2J"]),
    "a class of a million letters": lambda m: m.update(classes=["Z" * 1_000_001]),
    "refusals that are a number": lambda m: m.update(rejected=5),
    "variants that no shard backs": lambda m: m["splits"]["train"].update(variants=10**15),
    "a shard above": lambda m: shard_of_train(m).update(file="../a.tfrecord"),
    "a shard at the root": lambda m: shard_of_train(m).update(file="/etc/passwd"),
    "a shard with a backslash": lambda m: shard_of_train(m).update(file="..\\a.tfrecord"),
    "a split that climbs": lambda m: m["splits"].update({"..": m["splits"].pop("train")}),
    "a task nobody knows": lambda m: m.update(task="mining"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_manifest_is_refused_in_a_short_line(name):
    fields = json.loads(MANIFEST.to_json())
    text = HOSTILE[name](fields) or json.dumps(fields)
    with pytest.raises(df.DatasetError) as refusal:
        df.Manifest.from_json(text)
    message = str(refusal.value)
    assert len(message) < 400
    assert message.isprintable()


def written(folder):
    """A dataset directory whose shards are empty files."""
    for file in MANIFEST.files():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    (folder / df.MANIFEST_FILE).write_text(MANIFEST.to_json())
    return folder


def test_links_inside_a_dataset_are_followed_and_links_out_of_it_are_not(tmp_path):
    dataset, elsewhere = written(tmp_path / "dataset"), tmp_path / "elsewhere"
    file = dataset / next(iter(MANIFEST.files()))
    file.rename(dataset / "moved")
    file.symlink_to(dataset / "moved")
    assert df.Manifest.load(dataset) == MANIFEST
    (dataset / "moved").rename(elsewhere)
    file.unlink()
    file.symlink_to(elsewhere)
    with pytest.raises(df.DatasetError, match="leads outside"):
        df.Manifest.load(dataset)


def test_a_folder_of_shards_that_is_a_link_out_of_the_dataset_is_refused(tmp_path):
    dataset = written(tmp_path / "dataset")
    (dataset / "train").rename(tmp_path / "train")
    (dataset / "train").symlink_to(tmp_path / "train")
    with pytest.raises(df.DatasetError, match="leads outside"):
        df.Manifest.load(dataset)


@pytest.mark.parametrize("name", [df.MANIFEST_FILE, df.LABELS_FILE, next(iter(MANIFEST.files()))])
def test_a_pipe_in_a_dataset_is_refused_and_not_waited_for(tmp_path, name):
    dataset = written(tmp_path / "dataset")
    (dataset / name).unlink(missing_ok=True)
    os.mkfifo(dataset / name)
    with pytest.raises(df.DatasetError, match="not a regular file"):
        df.Manifest.load(dataset)
