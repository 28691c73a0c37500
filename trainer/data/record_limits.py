"""The builder's limits of pixels and scans, for records: looked at before a picture is decoded.

A dataset of a stranger's may hold a record that no build would have made.
"""

from __future__ import annotations

from google.protobuf.message import DecodeError

from preprocess.dataset_format import ImageKey
from preprocess.pictures.work import check_work
from preprocess.shell.example_message import Example


def check_record(payload: bytes) -> None:
    """Raises Refused where the picture of a serialised record is beyond the limits; what is no
    record, or has no picture, is left to who parses it.
    """
    try:
        features = Example.FromString(payload).features.feature
    except DecodeError:
        return
    for encoded in features[ImageKey.ENCODED].bytes_list.value[:1]:
        check_work(encoded)
