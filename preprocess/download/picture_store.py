"""What came of each URL: the pictures' files, and a log from which a fetch resumes."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from preprocess.download.web_client import FetchError
from preprocess.pictures.decode import decode
from preprocess.shards.encode import encode
from preprocess.sources.refusals import Refused
from preprocess.storage import local

FOLDER = "images"
LOG_FILE = "fetch.jsonl"
CROP_QUALITY = 95
_SUFFIXES = (
    (b"\xff\xd8", ".jpg"),
    (b"\x89PNG", ".png"),
    (b"GIF8", ".gif"),
    (b"RIFF", ".webp"),
    (b"BM", ".bmp"),
    (b"II", ".tif"),
    (b"MM", ".tif"),
)

Box = tuple[float, float, float, float]  # left, right, top, bottom; shares of width and height


class Wanted(NamedTuple):
    """A picture that a URL should give."""

    id: str
    box: Box | None = None  # to cut out


class Log:
    """A line a picture: its file and size, or why there is none. The later line counts."""

    def __init__(self, output: str) -> None:
        self._output = output
        path = os.path.join(output, LOG_FILE)
        self.outcomes: dict[str, dict[str, Any]] = {}
        whole = _read(path, self.outcomes)
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 - closed in close()
        if not whole:  # of a fetch that was killed while it wrote
            self._file.write("\n")

    def is_settled(self, image_id: str, retry: Collection[str] | None) -> bool:
        """Whether a picture is there, or is known not to come; `retry` = the reasons that are no
        longer held against it, None = any.
        """
        outcome = self.outcomes.get(image_id)
        if outcome is None:
            return False
        if "file" not in outcome:
            again = retry is None or outcome.get("reason") in retry
            return not (again or outcome.get("passing"))
        try:
            return os.path.getsize(self.path(outcome["file"])) == outcome["bytes"]
        except (OSError, KeyError, TypeError):
            return False

    def path(self, file: str) -> str:
        """Where a picture's file lies."""
        return os.path.join(self._output, FOLDER, os.path.basename(file))

    def note(self, image_id: str, **outcome: Any) -> None:
        """Appends a line."""
        self.outcomes[image_id] = outcome
        self._file.write(json.dumps({"id": image_id, **outcome}) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


@contextlib.contextmanager
def opened_log(output: str) -> Iterator[Log]:
    """The log of a folder, which is made where it is missing, once no other process has it."""
    os.makedirs(os.path.join(output, FOLDER), exist_ok=True)
    notice = f"another fetch is filling '{output}'; waiting for it"
    with local.turn(os.path.join(output, LOG_FILE), "a fetch", notice):
        log = Log(output)
        try:
            yield log
        finally:
            log.close()


def _read(path: str, outcomes: dict[str, dict[str, Any]]) -> bool:
    """Fills in the outcomes; returns whether the last line is whole."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = "\n"
            for text in file:
                try:
                    outcome = json.loads(text)
                    outcomes[outcome.pop("id")] = outcome
                except (ValueError, KeyError, TypeError, AttributeError):
                    continue
            return text.endswith("\n")
    except FileNotFoundError:
        return True


def save(content: bytes, wanted: Wanted, log: Log) -> tuple[str, int]:
    """Writes a picture that came: its file's own bytes, or the part in its box as a JPEG. Returns
    the file's name and size; raises FetchError if it is no picture.
    """
    try:
        decoded = decode(content)
    except Refused as refused:
        raise FetchError(refused.reason, refused.detail) from None
    suffix = next((s for start, s in _SUFFIXES if content.startswith(start)), ".ppm")
    if wanted.box:
        height, width = decoded.image.shape[:2]
        left, right, top, bottom = wanted.box
        rows = slice(round(top * height), max(round(bottom * height), round(top * height) + 1))
        columns = slice(round(left * width), max(round(right * width), round(left * width) + 1))
        part = decoded.image[rows, columns]
        if not part.size:
            raise FetchError("empty_box", f"the box covers no pixel of {width}x{height}")
        content, suffix = encode(part, "jpeg", CROP_QUALITY), ".jpg"
    file = f"{wanted.id}{suffix}"
    partial = log.path(f".{file}.part")
    with open(partial, "wb") as opened:
        opened.write(content)
    os.replace(partial, log.path(file))
    return file, len(content)
