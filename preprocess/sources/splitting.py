"""Assigns a picture to a split by its id only: adding pictures does not move others."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from preprocess.live_format import LIVE_FOLDER
from preprocess.shell.errors import UsageError
from preprocess.sources.refusals import Reason, Refused

TRAIN = "train"
VALIDATION = "validation"
TEST = "test"
# How tables and folders spell the three usual splits.
SPELLINGS = {
    "train": TRAIN,
    "training": TRAIN,
    "validation": VALIDATION,
    "valid": VALIDATION,
    "val": VALIDATION,
    "dev": VALIDATION,
    "test": TEST,
    "testing": TEST,
}


# A split is a folder of the dataset, next to other files and folders.
_NAME = re.compile(
    rf"(?!(?:triplets|{LIVE_FOLDER})$)[A-Za-z0-9][A-Za-z0-9_.-]{{0,63}}", re.IGNORECASE
)


def is_split_name(name: str) -> bool:
    """Whether a split may have this name."""
    return bool(_NAME.fullmatch(name))


class Splits(NamedTuple):
    """The value of --splits."""

    names: tuple[str, ...] = ()  # that tables, folders and files may use, besides SPELLINGS
    fractions: tuple[tuple[str, float], ...] = ()  # for pictures without a named split

    @property
    def spellings(self) -> Mapping[str, str]:
        """Every spelling of a split, in lower case -> the split."""
        return SPELLINGS if not self.names else {**SPELLINGS, **{n.lower(): n for n in self.names}}


NO_SPLITS = Splits()


def named_split(name: str, spellings: Mapping[str, str] = SPELLINGS) -> str:
    """The split that a table's cell names; raises Refused for an unknown one."""
    try:
        return spellings[name.lower()]
    except KeyError:
        raise Refused(
            Reason.UNKNOWN_SUBSET,
            f"'{name[:40]}' is unknown; known are {', '.join(spellings)}; --splits=train,NAME "
            f"adds others",
        ) from None


def parse_splits(flag: str) -> Splits:
    """Parses `train:0.8,test_a:0.2`, fractions for pictures without a named split, or
    `train,test_a,test_b`, names that the input uses. Raises UsageError.
    """
    fractions: dict[str, float] = {}
    names: list[str] = []
    for part in filter(None, flag.split(",")):
        written, colon, number = part.partition(":")
        if not is_split_name(written):
            raise UsageError(
                f"--splits: '{written[:80]}' cannot name a split: use letters, digits, '_', '-' "
                f"and '.'; 'triplets' and '{LIVE_FOLDER}' are reserved"
            )
        name = SPELLINGS.get(written.lower(), written)
        if name.lower() in (known.lower() for known in names):
            raise UsageError(f"--splits: '{part}': use each name once, with a fraction in (0, 1]")
        names.append(name)
        if not colon:
            continue
        try:
            fractions[name] = float(number)
        except ValueError:
            raise UsageError(f"--splits: '{part}' is not NAME:FRACTION") from None
        if not 0 < fractions[name] <= 1:
            raise UsageError(f"--splits: '{part}': use each name once, with a fraction in (0, 1]")
    if fractions and len(fractions) < len(names):
        without = next(name for name in names if name not in fractions)
        raise UsageError(f"--splits: '{without}' has no fraction; give all of them one, or none")
    if fractions and not math.isclose(sum(fractions.values()), 1, abs_tol=1e-6):
        raise UsageError(f"--splits: the fractions sum to {sum(fractions.values()):g}, not 1")
    return Splits(tuple(names), tuple(fractions.items()))


def chosen_split(
    image_id: str,
    named: str,
    fractions: Sequence[tuple[str, float]],
    validation_fraction: float,
) -> str:
    """The split of a picture: the one its table or folder names (`''` = none), else drawn by
    `fractions`; then `validation_fraction` of train becomes validation.
    """
    split = named or _drawn(image_id, "split", fractions)
    if split == TRAIN and validation_fraction:
        carved = ((VALIDATION, validation_fraction), (TRAIN, 1 - validation_fraction))
        split = _drawn(image_id, "validation", carved)
    return split


def _drawn(image_id: str, salt: str, fractions: Sequence[tuple[str, float]]) -> str:
    """By a hash of the id, salted to be independent of image_key(), which selects the shard."""
    hashed = hashlib.sha256(f"{salt}:{image_id}".encode()).digest()
    point = int.from_bytes(hashed[:8], "big") / 2**64
    for name, fraction in fractions:
        point -= fraction
        if point < 0:
            return name
    return fractions[-1][0] if fractions else TRAIN
