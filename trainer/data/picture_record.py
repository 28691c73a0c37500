"""Parses serialised records into features without TensorFlow, by its rules."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

from google.protobuf.message import DecodeError

from preprocess.dataset_format import ImageKey, TripletKey
from preprocess.shell.example_message import Example

NO_LABEL = -1
Features: TypeAlias = Any  # protobuf's map of features by name


class BadRecordError(Exception):
    """A record that TensorFlow would reject as well; the message says why."""


class PictureRecord(NamedTuple):
    """An image record without its targets, but for the label."""

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
    return picture_of(features_of(payload))


def picture_of(features: Features) -> PictureRecord:
    """The picture among the features of a record; raises BadRecordError as parse_picture does."""
    return PictureRecord(
        one(features, ImageKey.ENCODED, "bytes_list"),
        one(features, ImageKey.KEY, "int64_list"),
        one(features, ImageKey.LABEL, "int64_list", NO_LABEL),
        one(features, ImageKey.HEIGHT, "int64_list"),
        one(features, ImageKey.WIDTH, "int64_list"),
        one(features, ImageKey.CHANNELS, "int64_list"),
    )


def parse_id(payload: bytes) -> str:
    """The id of an image record; raises BadRecordError as parse_picture does."""
    name: bytes = one(features_of(payload), ImageKey.ID, "bytes_list")
    return name.decode("utf-8", errors="replace")


def parse_triplet(payload: bytes) -> TripletRecord:
    """Parses a triplet record; raises BadRecordError as parse_picture does."""
    features = features_of(payload)
    return TripletRecord(
        many(features, TripletKey.IMAGES, "int64_list", 3),
        many(features, TripletKey.VOTES, "float_list", 3),
        one(features, TripletKey.TYPE, "bytes_list"),
        one(features, TripletKey.ROW, "int64_list"),
    )


def features_of(payload: bytes) -> Features:
    """The features of a serialised record by name; raises BadRecordError if it is none."""
    try:
        return Example.FromString(payload).features.feature
    except DecodeError as error:
        raise BadRecordError(f"not a tf.train.Example: {error}") from None


def one(features: Features, name: str, kind: str, default: int | None = None) -> Any:
    """The only value of a feature; `default`, if given, for a feature without a value."""
    found = getattr(features[name], kind).value  # empty if the feature is missing
    if len(found) == 1:
        return found[0]
    if default is not None and not features[name].WhichOneof("kind"):
        return default
    raise _missing(name)


def many(features: Features, name: str, kind: str, count: int | None = None) -> Any:
    """The values of a feature, as a tuple of `count`; any number of them, also none, if None."""
    found = getattr(features[name], kind).value
    if count is None:
        right = features[name].WhichOneof("kind") in (None, kind)
    else:
        right = len(found) == count
    if not right:
        raise _missing(name)
    return tuple(found)


def _missing(name: str) -> BadRecordError:
    return BadRecordError(f"its {name} is missing or has a wrong type")
