"""Fonts that have the letters of a text: DejaVu Sans, then whatever is installed and has the rest.

DejaVu Sans, which comes with matplotlib, has Latin, Greek, Cyrillic, Hebrew and Arabic letters.
For others (Chinese, Japanese, Korean, Thai, the scripts of India) a font of the system is taken.
"""

from __future__ import annotations

import functools
import os
from typing import NamedTuple

import matplotlib
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

from preprocess.shell.cli import say

FIRST = "DejaVu Sans"
# Has a box for every letter there is, which tells nobody anything.
_NO_LETTERS = "Last Resort"


class Font(NamedTuple):
    """An installed font: its family and its file."""

    family: str
    path: str


def first(bold: bool = False) -> Font:
    """DejaVu Sans, from matplotlib's own files."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return Font(FIRST, os.path.join(matplotlib.get_data_path(), "fonts", "ttf", name))


def fonts_for(text: str) -> list[Font]:
    """DejaVu Sans and, where it lacks letters of the text, the fonts that have them, the one with
    most of them first. Letters that no font has are said once.
    """
    chosen = [first()]
    missing = _letters(text) - letters_of(first().path)
    while missing:
        best = max(_installed(), key=lambda font: len(missing & letters_of(font.path)))
        found = missing & letters_of(best.path)
        if not found:
            _say_missing("".join(sorted(missing))[:10])
            break
        chosen.append(best)
        missing -= found
    return chosen


def font_file(text: str, bold: bool = False) -> str:
    """The one file that has most letters of a text, for a library that takes one font only."""
    letters = _letters(text)
    if letters <= letters_of(first(bold).path):
        return first(bold).path
    return max(fonts_for(text), key=lambda font: len(letters & letters_of(font.path))).path


@functools.lru_cache(maxsize=256)
def letters_of(path: str) -> frozenset[str]:
    """The letters that a font file has; none where it cannot be read."""
    try:
        return frozenset(map(chr, FT2Font(path).get_charmap()))
    except (OSError, RuntimeError):
        return frozenset()


def _letters(text: str) -> set[str]:
    return {letter for letter in text if letter.isprintable() and not letter.isspace()}


@functools.cache
def _installed() -> tuple[Font, ...]:
    """The upright fonts of normal weight, the first among them in any case."""
    entries = [
        Font(entry.name, entry.fname)
        for entry in font_manager.fontManager.ttflist
        if entry.style == "normal" and entry.weight in (400, "normal", "regular", "book")
    ]
    fonts = {font.family: font for font in entries if not font.family.startswith(_NO_LETTERS)}
    return (first(), *sorted(fonts.values()))


@functools.cache
def _say_missing(letters: str) -> None:
    say(
        f"warning: no installed font has {letters}: plots show boxes in their place; install one "
        "(for Chinese, Japanese and Korean the package fonts-noto-cjk)"
    )
