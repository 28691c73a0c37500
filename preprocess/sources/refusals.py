"""Why an input was refused: the reasons that appear in `rejected.jsonl`, and the exception.

A reason is a stable machine-readable word; the detail beside it is for people.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from preprocess.pictures.refusal import PictureReason, Refused

__all__ = ["Reason", "Refused", "Rejection"]


class Reason(PictureReason):
    """Every reason there is: those of a picture file, of a row, and of where a picture lies."""

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
    # where a picture lies
    OUTSIDE_FOLDER = "outside_folder"
    MISSING_PICTURE = "missing_picture"
    AMBIGUOUS_NAME = "ambiguous_name"
    UNREADABLE_FILE = "unreadable_file"
    DUPLICATE_ID = "duplicate_id"
    # what a build does with a picture
    RECIPE_FAILED = "recipe_failed"
    ENCODING_FAILED = "encoding_failed"
    # a triplet whose rows were fine
    PICTURE_REFUSED = "picture_refused"


@dataclasses.dataclass(frozen=True)
class Rejection:
    """One line of `rejected.jsonl`."""

    source: str  # the table, or the picture's path, as the user named it
    line: int | None  # line of the table, counted from 1; None for a file found in a folder
    stage: str  # "table", "picture" or "triplet"
    reason: str  # one of Reason
    detail: str = ""

    @property
    def counted(self) -> bool:
        """A triplet refused because its picture was is listed, not counted again."""
        return self.stage != "triplet"

    def to_json(self) -> str:
        """One line of JSON, without the line feed. Control characters come out escaped."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=True, sort_keys=True)

    @classmethod
    def from_json(cls, line: str) -> Rejection:
        """The inverse of to_json."""
        fields: dict[str, Any] = json.loads(line)
        return cls(**fields)
