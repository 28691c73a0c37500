"""The files of live variants: what is no such file is refused, whatever it holds."""

import dataclasses
import json

import pytest

from preprocess.dataset_format import IMAGES, TRIPLETS, DatasetError, Shard
from preprocess.live_format import FollowerState, LiveVariant

SHARD = Shard("live/train/variant-03/x.tfrecord", IMAGES, 3, 5, 100, "a" * 64)
VARIANT = LiveVariant(3, "b" * 64, "c" * 64, -7, (SHARD,))
STATE = FollowerState("b" * 64, "c" * 64, 7, {"numpy": "2.0"}, 3, 1.5, 2, 1e9)


def test_what_is_written_is_read():
    assert LiveVariant.from_json(VARIANT.to_json()) == VARIANT
    assert FollowerState.from_json(STATE.to_json()) == STATE


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("variant", -1),
        ("variant", True),
        ("variant", 3.0),
        ("base", None),
        ("recipe", ["c"]),
        ("seed", "7"),
        ("shards", None),
        ("shards", [1]),
        ("more", 1),
    ],
)
def test_a_manifest_with_a_field_of_another_type_is_refused(field, value):
    text = json.dumps({**dataclasses.asdict(VARIANT), field: value})
    with pytest.raises(DatasetError, match="not the manifest of a live variant"):
        LiveVariant.from_json(text)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("file", 7),
        ("file", "train/variant-03/x.tfrecord"),
        ("file", "live/../x.tfrecord"),
        ("file", "live//x.tfrecord"),
        ("kind", TRIPLETS),
        ("variant", 4),
        ("records", "5"),
        ("bytes", -1),
        ("sha256", None),
    ],
)
def test_a_shard_that_no_live_variant_has_is_refused(field, value):
    shard = {**dataclasses.asdict(SHARD), field: value}
    text = json.dumps({**dataclasses.asdict(VARIANT), "shards": [shard]})
    with pytest.raises(DatasetError, match="not the manifest of a live variant"):
        LiveVariant.from_json(text)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("workers", float("inf")),
        ("workers", 0),
        ("workers", 2.5),
        ("seconds", float("nan")),
        ("seconds", float("inf")),
        ("seconds", "1"),
        ("time", float("inf")),
        ("time", -1.0),
        ("built", 1.5),
        ("libraries", ["numpy"]),
        ("libraries", {"numpy": 2}),
        ("base", 7),
    ],
)
def test_a_follower_with_an_impossible_figure_is_refused(field, value):
    text = json.dumps({**dataclasses.asdict(STATE), field: value})
    with pytest.raises(DatasetError, match="not a follower's file"):
        FollowerState.from_json(text)


@pytest.mark.parametrize("text", ["", "[]", "7", "null", "[" * 100_000])
def test_what_is_no_object_is_refused(text):
    for kind in (LiveVariant, FollowerState):
        with pytest.raises(DatasetError):
            kind.from_json(text)
