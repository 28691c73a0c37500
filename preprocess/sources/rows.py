"""The output of every source: pictures, triplets and rejections."""

from __future__ import annotations

import dataclasses
import os
import unicodedata
from collections.abc import Callable, Mapping
from typing import NamedTuple

from preprocess import storage
from preprocess.dataset_format import Target
from preprocess.sources.refusals import Reason, Refused, Rejection
from preprocess.sources.splitting import NO_SPLITS, Splits, chosen_split

MAX_ID_CHARACTERS = 1024  # more than four times the longest path component of a file system


class Picture(NamedTuple):
    """A picture to be stored, once for each variant."""

    id: str
    split: str
    label: int | None  # class number; None for triplets
    path: str  # absolute, gs://, or the text of a Place (places.py)
    item: int | None  # number of the picture in an idx file; None for an ordinary file
    line: int | None  # line of the table that names it first
    # Other features of its record, by their keys in dataset_format.ImageKey.
    features: Mapping[str, list[int] | list[float]] | None = None


class Triplet(NamedTuple):
    """Three pictures and the share of annotators who called each the odd one."""

    split: str
    ids: tuple[str, str, str]
    votes: tuple[float, float, float]
    type: str
    line: int


@dataclasses.dataclass(frozen=True)
class Request:
    """What a source should read: the flags of `build` that concern it."""

    csv: str = ""
    images: str = ""
    columns: tuple[tuple[str, str], ...] = ()  # (our name, the table's name or position)
    features: tuple[tuple[str, str], ...] = ()  # (our name, the records' name)
    csv_encoding: str = ""  # "" = by the byte-order mark, else UTF-8
    label: str = ""  # the column of the class; "" = label
    labels: str = ""  # the column of several labels; "" = there is one class
    separator: str = ";"  # between the labels of a cell
    targets: tuple[str, ...] = ()  # columns of numbers, alone or beside a class or labels
    weight: str = ""  # the column of a picture's weight; "" = none
    splits: Splits = NO_SPLITS
    validation_fraction: float = 0.0
    follow_links: bool = False  # symbolic links may lead out of the picture folder
    limit: int = 0  # rows or pictures to take; 0 = all

    @property
    def column_flags(self) -> list[str]:
        """The given flags that name columns of --csv."""
        given = {
            "--label": self.label,
            "--labels": self.labels,
            "--targets": self.targets,
            "--weight": self.weight,
        }
        return [flag for flag, value in given.items() if value]

    @property
    def folder(self) -> str:
        """The real path of the folder that contains the pictures, even if they are in one file."""
        path = self.images or os.path.dirname(self.csv) or "."
        if storage.is_remote(path):
            return storage.absolute(path)
        path = os.path.realpath(path)
        while not os.path.isdir(path):
            path = os.path.dirname(path)
        return path

    def split(self, image_id: str, named: str) -> str:
        """The split of a picture whose table or folder names `named` (`''` = none)."""
        return chosen_split(image_id, named, self.splits.fractions, self.validation_fraction)


@dataclasses.dataclass
class Source:
    """The result of a source. `counted` = table rows plus pictures examined."""

    task: str
    pictures: list[Picture]
    triplets: list[Triplet] = dataclasses.field(default_factory=list)
    classes: list[str] = dataclasses.field(default_factory=list)
    rejections: list[Rejection] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)
    tables: dict[str, str] = dataclasses.field(default_factory=dict)  # name -> sha256
    weighted: bool = False  # each picture has a weight among its features
    targets: list[Target] = dataclasses.field(default_factory=list)  # its regression targets
    counted: int = 0
    root: str = ""  # Request.folder; set by read_source()
    # How many pictures have another name in the table than on the disk, by kind of difference.
    spellings: dict[str, int] = dataclasses.field(default_factory=dict)
    stat: Callable[[str], storage.Info] = storage.stat  # of a picture's path


def check_name(name: str, what: str, reason: str = Reason.BAD_ID) -> str:
    """Returns an id or label that is safe to store and to print.

    Raises Refused for empty and over-long ones, control characters (including NUL) and text that is
    not UTF-8. Any script, spaces and punctuation are allowed.
    """
    if not name:
        raise Refused(reason, f"empty {what}")
    if len(name) > MAX_ID_CHARACTERS:
        raise Refused(
            reason, f"{what} of {len(name)} characters; at most {MAX_ID_CHARACTERS} allowed"
        )
    if name.isascii() and name.isprintable():  # true for most, and ten times faster
        return name
    for character in name:
        category = unicodedata.category(character)
        if category in ("Cc", "Cs", "Zl", "Zp"):
            raise Refused(reason, f"{what} has the character U+{ord(character):04X}")
    return name
