"""Why a picture file is refused, and the exception that says it."""

from __future__ import annotations


class PictureReason:
    """What may be wrong with a picture file. Stable machine-readable words."""

    EMPTY_FILE = "empty_file"
    TOO_LARGE = "too_large"
    NOT_A_PICTURE = "not_a_picture"
    DAMAGED_PICTURE = "damaged_picture"
    ANIMATED = "animated"
    UNSUPPORTED_CHANNELS = "unsupported_channels"


class Refused(Exception):
    """Raised where one input is refused; the others are not affected.

    Attributes:
      reason: a machine-readable word, of PictureReason or of what refuses other inputs.
      detail: for people, in one line.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


def one_line(error: Exception) -> str:
    """The detail for an error that was not foreseen: one line, whatever the error's text."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
