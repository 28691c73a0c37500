"""Expressions that this project once used and an engineer has to decode, with what to write."""

from __future__ import annotations

import re
from collections.abc import Iterator

# Pattern, in any case -> what to write instead.
ODD: dict[str, str] = {
    r"\bgo(es)? on\b(?! the\b)": "resumes, continues",
    r"\bwent on\b": "resumed, continued",
    r"\btold to end\b": "receives SIGTERM",
    r"\bgives? up\b": "stops after N attempts",
    r"\b(can ?not|can't|could not) be had\b": "is not available, cannot be downloaded",
    r"\b(is|was|are|were)( not)? to be had\b": "is (not) available",
    r"\bsa(ys|id) so\b": "logs it, with a warning",
    r"\bwith a word\b": "with a warning",
    r"\bin words\b": "as a message",
    r"\bfor want of\b": "because no ... was available",
    r"\bmade good\b": "retried",
    r"\bflattered\b": "biased upward",
    r"\bawakening\b": "waking",
    r"\bno place for\b": "unsupported",
    r"\bof the moment\b": "current",
    r"\bends? with a sentence\b": "a one-line verdict",
    r"\bcrew\b": "worker group",
    r"\bgang\b": "restart group",
    r"\bleash\b": "die with parent",
    r"\bbarks?\b": "on timeout",
    r"\banew\b": "again",
    r"\bby hand\b": "step by step, manually",
    r"\bmade-up\b": "synthetic",
    r"\bat its place\b": "at index",
    r"\bany more\b": "no longer",
    r"\bstands? in\b": "is in",
    r"\bwhat stands beside\b": "companion objects",
    r"\bthe whole way\b": "end to end, step by step",
}
_ANY = {re.compile(pattern, re.IGNORECASE): instead for pattern, instead in ODD.items()}


def odd_expressions(text: str) -> Iterator[str]:
    """LINE: what was found, and what to write instead."""
    for pattern, instead in _ANY.items():
        for match in pattern.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            yield f"{line}: '{match[0]}'; write: {instead}"
