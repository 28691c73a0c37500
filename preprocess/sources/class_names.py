"""Class names as people write them: their order, and spellings of the same class."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

_WHOLE_NUMBER = re.compile(r"-?[0-9]+")
_SEVERAL = re.compile("[;|]")  # separators of several labels in a cell


class Classes(NamedTuple):
    """The classes of a source."""

    names: list[str]  # by number
    numbers: dict[str, int]  # by class name as written
    warnings: list[str]


def numbered(by_split: Mapping[str, Collection[str]]) -> Classes:
    """The classes by number, from the names of each split as written there."""
    spelling, warnings = unified(by_split)
    names = ordered(set(spelling.values()))
    number = {name: number for number, name in enumerate(names)}
    numbers = {written: number[name] for written, name in spelling.items()}
    return Classes(names, numbers, [*warnings, *caveats(names)])


def ordered(names: Collection[str]) -> list[str]:
    """Class names by number, from 0: alphabetical, but integers by value."""
    if all(_WHOLE_NUMBER.fullmatch(name) and len(name) < 20 for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def unified(by_split: Mapping[str, Collection[str]]) -> tuple[dict[str, str], list[str]]:
    """The spelling to use for each class name, and warnings.

    Names that differ only by case, spaces or Unicode form, and occur in different splits, are one
    class, spelled as in train. If one split has both spellings they may be two classes: they stay
    separate, with a warning.

    Args:
      by_split: the class names of each split, as written there.
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
    """Warnings about class names that probably mean something else."""
    several = sorted(name for name in names if _SEVERAL.search(name))
    if several:
        yield (
            f"{len(several)} class names look like several labels of one picture, such as "
            f"'{several[0][:80]}'; each is used as one class. For several labels, set --labels"
        )


def _folded(name: str) -> str:
    return "".join(unicodedata.normalize("NFC", name).casefold().split())


def _of_spellings(names: list[str], chosen: str) -> str:
    # Escaped if two spellings would look alike.
    shown = [ascii(n) if unicodedata.normalize("NFC", n) != n else repr(n) for n in names]
    text = f"class names {', '.join(shown)[:200]} differ only by case, spaces or Unicode form"
    if chosen:
        return f"{text}, in different splits: merged into one class, '{chosen}'"
    return f"{text} and were kept separate; rename them if they are one class"
