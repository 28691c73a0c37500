"""Records of a shard that are whole, and not what a picture or triplet is."""

from __future__ import annotations

from typing import Any

import pytest

from preprocess import dataset_format as df
from preprocess.shards.reading import checked, pixels
from preprocess.shards.tfrecord import RecordError
from preprocess.shell.errors import DataError

PICTURE: dict[str, Any] = {
    df.ImageKey.ENCODED: b"\0" * 12,
    df.ImageKey.FORMAT: b"raw",
    df.ImageKey.ID: b"a.png",
    df.ImageKey.KEY: 1,
    df.ImageKey.HEIGHT: 2,
    df.ImageKey.WIDTH: 2,
    df.ImageKey.CHANNELS: 3,
}
TRIPLET: dict[str, Any] = {
    df.TripletKey.IMAGES: [1, 2, 3],
    df.TripletKey.VOTES: [0.1, 0.2, 0.7],
    df.TripletKey.TYPE: b"T",
}


def test_a_picture_and_a_triplet_are_as_they_were():
    assert checked(PICTURE) is PICTURE
    assert checked(TRIPLET) is TRIPLET
    assert pixels(PICTURE).shape == (2, 2, 3)


@pytest.mark.parametrize("name", [df.ImageKey.ENCODED, df.ImageKey.ID, df.ImageKey.KEY])
@pytest.mark.parametrize("value", [None, [], [1, 2], 1.5])
def test_a_picture_without_a_feature_or_with_another_type_is_damage(name, value):
    with pytest.raises(RecordError, match=name):
        checked({**PICTURE, name: value})


@pytest.mark.parametrize("changes", [
    {df.ImageKey.ID: b"\xff"},
    {df.TripletKey.IMAGES: [1, 2]},
    {df.TripletKey.IMAGES: [b"a", b"b", b"c"]},
    {df.TripletKey.VOTES: []},
    {df.TripletKey.VOTES: [1, 2, 3]},
    {df.TripletKey.TYPE: 3},
])  # fmt: skip
def test_lists_of_another_length_or_kind_are_damage(changes):
    with pytest.raises(RecordError, match="the record's"):
        checked({**(PICTURE if df.ImageKey.ID in changes else TRIPLET), **changes})


@pytest.mark.parametrize("changes", [
    {df.ImageKey.HEIGHT: -1},  # numpy would work it out
    {df.ImageKey.HEIGHT: 0},
    {df.ImageKey.WIDTH: 1 << 62},
    {df.ImageKey.CHANNELS: []},
    {df.ImageKey.FORMAT: b"png"},
    {df.ImageKey.ENCODED: []},
])  # fmt: skip
def test_pixels_that_are_not_there_are_bad_data(changes):
    with pytest.raises(DataError):
        pixels({**PICTURE, **changes})
