"""Rejected input: the reasons that appear in `rejected.jsonl`, and the exception.

A reason is a stable machine-readable word; the detail next to it is for people.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from preprocess.pictures.refusal import PictureReason, Refused

__all__ = ["Reason", "Refused", "Rejection"]


class Reason(PictureReason):
    """All reasons: about a picture file, about a row, and about a picture's location."""

    # a row of a table
    MISSING_COLUMN = "missing_column"
    EXTRA_COLUMN = "extra_column"
    BAD_NUMBER = "bad_number"
    BAD_VOTES = "bad_votes"
    SAME_FACE_TWICE = "same_face_twice"
    UNKNOWN_SUBSET = "unknown_subset"
    BAD_ID = "bad_id"
    BAD_LABEL = "bad_label"
    UNREADABLE_ROW = "unreadable_row"
    CONFLICTING_ROW = "conflicting_row"
    # about a picture's location
    OUTSIDE_FOLDER = "outside_folder"
    MISSING_PICTURE = "missing_picture"
    AMBIGUOUS_NAME = "ambiguous_name"
    UNREADABLE_FILE = "unreadable_file"
    DUPLICATE_ID = "duplicate_id"
    # about building a picture
    RECIPE_FAILED = "recipe_failed"
    ENCODING_FAILED = "encoding_failed"
    # a valid triplet, rejected for its pictures
    PICTURE_REFUSED = "picture_refused"


REJECTED_TRIPLET = "triplet"  # the stage of one whose pictures were refused before


@dataclasses.dataclass(frozen=True)
class Rejection:
    """One line of `rejected.jsonl`."""

    source: str  # the table, or the picture's path, as the user named it
    line: int | None  # line of the table, counted from 1; None for a file found in a folder
    stage: str  # "table", "picture" or REJECTED_TRIPLET
    reason: str  # one of Reason
    detail: str = ""

    @property
    def counted(self) -> bool:
        """Whether it counts: a triplet rejected only because of a picture is listed alone."""
        return self.stage != REJECTED_TRIPLET

    def to_json(self) -> str:
        """One line of JSON, without the line feed. Control characters are escaped."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=True, sort_keys=True)

    @classmethod
    def from_json(cls, line: str) -> Rejection:
        """The inverse of to_json."""
        fields: dict[str, Any] = json.loads(line)
        return cls(**fields)
