"""Prints the first refusals for each reason, so that rejected.jsonl need not be opened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from preprocess.shell.cli import say
from preprocess.sources.refusals import Rejection

EXAMPLES = 2  # for each reason
_LONGEST_NAME, _LONGEST_DETAIL = 120, 200  # characters shown


def say_examples(rejections: Iterable[Rejection]) -> None:
    """Logs the first EXAMPLES for each reason, with location and cause."""
    for line in examples(rejections):
        say(f"refused: {line}")


def examples(rejections: Iterable[Rejection]) -> Iterator[str]:
    """A line for each of them, without triplets that are refused because of their pictures."""
    shown: Counter[str] = Counter()
    for rejection in rejections:
        if not rejection.counted or shown[rejection.reason] == EXAMPLES:
            continue
        shown[rejection.reason] += 1
        place = f"'{_shortened(rejection.source, _LONGEST_NAME)}'"
        if rejection.line is not None:
            place += (
                f", line {rejection.line}"
                if rejection.stage == "table"
                else (f" (line {rejection.line} of the table)")
            )
        cause = _shortened(rejection.detail, _LONGEST_DETAIL)
        yield f"{place}: {rejection.reason}" + (f": {cause}" if cause else "")


def _shortened(text: str, length: int) -> str:
    """One line of at most that many characters; a long name keeps its end."""
    text = " ".join(text.split())
    return text if len(text) <= length else f"{text[: length // 2]}...{text[-length // 2 :]}"
