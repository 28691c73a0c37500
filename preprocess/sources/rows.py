"""Rows as every source gives them: pictures, triplets and what was refused."""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Callable
from typing import NamedTuple

from preprocess import storage
from preprocess.refusals import Reason, Refused, Rejection
from preprocess.sources.splitting import chosen_split

MAX_ID_CHARACTERS = 1024  # longer than any path component a file system takes four times over


class Picture(NamedTuple):
    """A picture to be stored once a variant."""

    id: str
    split: str
    label: int | None  # class number; None where there are triplets
    path: str  # absolute, or gs://
    item: int | None  # number of the picture in an idx file; None for a file of its own
    line: int | None  # line of the table that names it first


class Triplet(NamedTuple):
    """Three pictures and the share of annotators who called each the odd one."""

    split: str
    ids: tuple[str, str, str]
    votes: tuple[float, float, float]
    type: str
    line: int


@dataclasses.dataclass(frozen=True)
class Request:
    """What a source is asked to read: the flags of `build` that concern it."""

    csv: str = ""
    images: str = ""
    columns: tuple[tuple[str, str], ...] = ()  # (our name, the table's name)
    fractions: tuple[tuple[str, float], ...] = ()  # --splits
    validation_fraction: float = 0.0
    limit: int = 0  # rows or pictures to take; 0 = all

    def split(self, image_id: str, named: str) -> str:
        """The split of a picture whose table or folder names `named` (`''` = none)."""
        return chosen_split(image_id, named, self.fractions, self.validation_fraction)


@dataclasses.dataclass
class Source:
    """All that a source has to say. `counted` = table rows plus pictures looked at."""

    task: str
    pictures: list[Picture]
    triplets: list[Triplet] = dataclasses.field(default_factory=list)
    classes: list[str] = dataclasses.field(default_factory=list)
    rejections: list[Rejection] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)
    tables: dict[str, str] = dataclasses.field(default_factory=dict)  # name -> sha256
    counted: int = 0
    stat: Callable[[str], storage.Info] = storage.stat  # of a picture's path


def check_name(name: str, what: str, reason: str = Reason.BAD_ID) -> str:
    """Returns an id or label that is safe to store and to print.

    Raises Refused for empty and over-long ones, control characters (NUL among them) and text
    that is not UTF-8. Any script, spaces and punctuation are welcome.
    """
    if not name:
        raise Refused(reason, f"empty {what}")
    if len(name) > MAX_ID_CHARACTERS:
        raise Refused(reason, f"{what} of {len(name)} characters; {MAX_ID_CHARACTERS} at most")
    if name.isascii() and name.isprintable():  # as nearly all are, and ten times quicker
        return name
    for character in name:
        category = unicodedata.category(character)
        if category in ("Cc", "Cs", "Zl", "Zp"):
            raise Refused(reason, f"{what} has the character U+{ord(character):04X}")
    return name
