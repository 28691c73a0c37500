"""Parses serialised records into features without TensorFlow, by its rules."""

from __future__ import annotations

from typing import Any, NamedTuple

from google.protobuf.message import DecodeError

from preprocess.dataset_format import ImageKey, TripletKey
from preprocess.shell.example_message import Example

NO_LABEL = -1


class BadRecordError(Exception):
    """A record that TensorFlow would reject as well; the message says why."""


class PictureRecord(NamedTuple):
    """What a batch needs of an image record."""

    encoded: bytes
    key: int
    label: int  # NO_LABEL if it has none
    height: int
    width: int
    channels: int


class TripletRecord(NamedTuple):
    """A triplet record."""

    images: tuple[int, int, int]  # keys
    votes: tuple[float, float, float]
    kind: bytes
    row: int


def parse_picture(payload: bytes) -> PictureRecord:
    """Parses an image record; raises BadRecordError if a feature is missing or has a wrong type."""
    features = _features(payload)
    return PictureRecord(
        _one(features, ImageKey.ENCODED, "bytes_list"),
        _one(features, ImageKey.KEY, "int64_list"),
        _one(features, ImageKey.LABEL, "int64_list", NO_LABEL),
        _one(features, ImageKey.HEIGHT, "int64_list"),
        _one(features, ImageKey.WIDTH, "int64_list"),
        _one(features, ImageKey.CHANNELS, "int64_list"),
    )


def parse_id(payload: bytes) -> str:
    """The id of an image record; raises BadRecordError as parse_picture does."""
    name: bytes = _one(_features(payload), ImageKey.ID, "bytes_list")
    return name.decode("utf-8", errors="replace")


def parse_triplet(payload: bytes) -> TripletRecord:
    """Parses a triplet record; raises BadRecordError as parse_picture does."""
    features = _features(payload)
    return TripletRecord(
        _values(features, TripletKey.IMAGES, "int64_list", 3),
        _values(features, TripletKey.VOTES, "float_list", 3),
        _one(features, TripletKey.TYPE, "bytes_list"),
        _one(features, TripletKey.ROW, "int64_list"),
    )


def _features(payload: bytes) -> Any:
    try:
        return Example.FromString(payload).features.feature
    except DecodeError as error:
        raise BadRecordError(f"not a tf.train.Example: {error}") from None


def _one(features: Any, name: str, kind: str, default: int | None = None) -> Any:
    """The only value of a feature; `default`, if given, for a feature without a value."""
    found = getattr(features[name], kind).value  # empty if the feature is missing
    if len(found) == 1:
        return found[0]
    if default is not None and not features[name].WhichOneof("kind"):
        return default
    raise _missing(name)


def _values(features: Any, name: str, kind: str, count: int) -> Any:
    found = getattr(features[name], kind).value
    if len(found) != count:
        raise _missing(name)
    return tuple(found)


def _missing(name: str) -> BadRecordError:
    return BadRecordError(f"its {name} is missing or has a wrong type")
