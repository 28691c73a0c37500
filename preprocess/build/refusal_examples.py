"""The first refusals of each reason, on stderr: what is wrong, without opening rejected.jsonl."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from preprocess.shell.cli import say
from preprocess.sources.refusals import Rejection

EXAMPLES = 2  # of each reason
_LONGEST_NAME, _LONGEST_DETAIL = 120, 200  # characters that are shown


def say_examples(rejections: Iterable[Rejection]) -> None:
    """Logs the first EXAMPLES of each reason, with place and cause."""
    for line in examples(rejections):
        say(f"refused: {line}")


def examples(rejections: Iterable[Rejection]) -> Iterator[str]:
    """A line for each of them. A triplet that goes with its picture is not one of them."""
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
    """One line of at most so many characters; a long name keeps its end."""
    text = " ".join(text.split())
    return text if len(text) <= length else f"{text[: length // 2]}...{text[-length // 2 :]}"
