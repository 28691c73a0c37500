"""Which split a picture belongs to, from its id alone: adding pictures moves none."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

from preprocess.errors import UsageError
from preprocess.refusals import Reason, Refused

TRAIN = "train"
VALIDATION = "validation"
TEST = "test"
# What tables and folders call the three.
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


def named_split(name: str) -> str:
    """The split that a table's cell names; raises Refused for an unknown one."""
    try:
        return SPELLINGS[name.lower()]
    except KeyError:
        raise Refused(
            Reason.UNKNOWN_SUBSET, f"'{name[:40]}'; known are {', '.join(SPELLINGS)}"
        ) from None


def parse_fractions(flag: str) -> tuple[tuple[str, float], ...]:
    """`train:0.8,test:0.2` -> (("train", 0.8), ("test", 0.2)); raises UsageError."""
    fractions: dict[str, float] = {}
    for part in filter(None, flag.split(",")):
        name, _, number = part.partition(":")
        try:
            fraction = float(number)
        except ValueError:
            raise UsageError(f"--splits: '{part}' is not NAME:FRACTION") from None
        if name not in (TRAIN, VALIDATION, TEST):
            raise UsageError(f"--splits: '{name}' is none of train, validation, test")
        if not 0 < fraction <= 1 or name in fractions:
            raise UsageError(f"--splits: '{part}': a fraction in (0, 1], each name once")
        fractions[name] = fraction
    if fractions and not math.isclose(sum(fractions.values()), 1, abs_tol=1e-6):
        raise UsageError(f"--splits: the fractions sum to {sum(fractions.values()):g}, not 1")
    return tuple(fractions.items())


def chosen_split(
    image_id: str,
    named: str,
    fractions: Sequence[tuple[str, float]],
    validation_fraction: float,
) -> str:
    """The split of a picture: the one its table or folder names (`''` = none), else drawn by
    `fractions`; then `validation_fraction` of what is train becomes validation.
    """
    split = named or _drawn(image_id, "split", fractions)
    if split == TRAIN and validation_fraction:
        carved = ((VALIDATION, validation_fraction), (TRAIN, 1 - validation_fraction))
        split = _drawn(image_id, "validation", carved)
    return split


def _drawn(image_id: str, salt: str, fractions: Sequence[tuple[str, float]]) -> str:
    """By a hash of the id, salted to be independent of image_key(), which chooses the shard."""
    hashed = hashlib.sha256(f"{salt}:{image_id}".encode()).digest()
    point = int.from_bytes(hashed[:8], "big") / 2**64
    for name, fraction in fractions:
        point -= fraction
        if point < 0:
            return name
    return fractions[-1][0] if fractions else TRAIN
