"""The build's limits of pixels and scans, checked on records before a picture is decoded.

A dataset from a stranger may contain records that no build would have written.
"""

from __future__ import annotations

from google.protobuf.message import DecodeError

from preprocess.dataset_format import ImageKey
from preprocess.pictures.work import check_work
from preprocess.shell.example_message import Example


def check_record(payload: bytes) -> None:
    """Raises Refused if the picture of a serialised record exceeds the limits; invalid records and
    records without a picture are left to the parser.
    """
    try:
        features = Example.FromString(payload).features.feature
    except DecodeError:
        return
    for encoded in features[ImageKey.ENCODED].bytes_list.value[:1]:
        check_work(encoded)
