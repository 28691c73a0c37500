"""Class names as people write them: their order, and spellings that mean one class."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

_WHOLE_NUMBER = re.compile(r"-?[0-9]+")
_SEVERAL = re.compile("[;|]")  # how tables write more than one label in a cell


class Classes(NamedTuple):
    """The classes of a source."""

    names: list[str]  # by number
    numbers: dict[str, int]  # of each name, as it is written
    warnings: list[str]


def numbered(by_split: Mapping[str, Collection[str]]) -> Classes:
    """The classes by number, from the names of each split as they are written there."""
    spelling, warnings = unified(by_split)
    names = ordered(set(spelling.values()))
    number = {name: number for number, name in enumerate(names)}
    numbers = {written: number[name] for written, name in spelling.items()}
    return Classes(names, numbers, [*warnings, *caveats(names)])


def ordered(names: Collection[str]) -> list[str]:
    """Class names by number, counted from 0: alphabetical, but whole numbers by value."""
    if all(_WHOLE_NUMBER.fullmatch(name) and len(name) < 20 for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def unified(by_split: Mapping[str, Collection[str]]) -> tuple[dict[str, str], list[str]]:
    """The spelling to use for each class name, and what a person should know of them.

    Names that differ by case, spaces or Unicode form only, each in splits of its own, are one
    class, spelled as in train. Where one split has both spellings they may be meant as two: they
    stay two, with a warning.

    Args:
      by_split: the class names of each split, as they are written there.
    """
    groups: dict[str, set[str]] = defaultdict(set)
    for names in by_split.values():
        for name in names:
            groups[_folded(name)].add(name)
    spelling: dict[str, str] = {}
    warnings: list[str] = []
    for group in groups.values():
        apart = all(len(group & set(names)) <= 1 for names in by_split.values())
        in_train = sorted(group & set(by_split.get("train", ())))
        chosen = (in_train or sorted(group))[0]
        spelling.update({name: chosen if apart else name for name in group})
        if len(group) > 1:
            warnings.append(_of_spellings(sorted(group), chosen if apart else ""))
    return spelling, warnings


def caveats(names: Collection[str]) -> Iterator[str]:
    """Warnings about class names that are probably meant otherwise."""
    several = sorted(name for name in names if _SEVERAL.search(name))
    if several:
        yield (
            f"{len(several)} class names look like several labels of one picture, such as "
            f"'{several[0][:80]}'; each is taken as one class of its own"
        )


def _folded(name: str) -> str:
    return "".join(unicodedata.normalize("NFC", name).casefold().split())


def _of_spellings(names: list[str], chosen: str) -> str:
    # As escapes where two spellings would look alike.
    shown = [ascii(n) if unicodedata.normalize("NFC", n) != n else repr(n) for n in names]
    text = f"class names {', '.join(shown)[:200]} differ by case, spaces or Unicode form only"
    if chosen:
        return f"{text}, in different splits: taken as one class, '{chosen}'"
    return f"{text} and were kept apart; rename them if they are one class"
