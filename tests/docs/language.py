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
    r"\b(cannot|can not|can't|could not) be had\b": "is not available, cannot be downloaded",
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
    r"\bfor ever\b": "forever",
    r"\bought to\b": "should",
    r"\b(tell|tells|told) apart\b": "distinguish",
    r"\bwithout a word\b": "silently",
    r"\bwhole numbers?\b": "integer",
    r"\bwhere there (is|are) (no|none|several)\b": "if there is",
    r"\bcannot be on\b": "is not supported on",
    r"\bnear ones\b": "similar names",
    r"\bgoing on (on|under|from|with)\b": "resuming",
    r"\btake them away\b": "remove them",
    r"\banswers, but\b": "responds, but",
    r"\bearlier life\b": "earlier attempt",
    r"\blives of a run\b": "attempts of a run",
    r"\bin one's own\b|\bof one's own\b": "your own",
    r"\bnever bites\b": "0 disables it",
    r"\bgets? nowhere\b": "makes no progress",
    r"\bnothing to tell\b": "nothing to distinguish",
    r"\btrains on where\b": "continues if",
    r"\bis said(?= (once|where|of|to))": "is logged",
    r"\blooked at whether\b": "checked",
    r"\btaken for one that was\b": "considered",
    r"\bthe run of before\b|\bof the run before\b": "of the earlier run",
    r"\bbeside (it|them|that|the)\b": "next to, besides",
    r"\btaken away\b": "removed, reclaimed",
}
_ANY = {
    # An expression may be broken between two lines.
    re.compile(pattern.replace(" ", r"\s+"), re.IGNORECASE): instead
    for pattern, instead in ODD.items()
}


def odd_expressions(text: str) -> Iterator[str]:
    """LINE: what was found, and what to write instead."""
    for pattern, instead in _ANY.items():
        for match in pattern.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            yield f"{line}: '{match[0]}'; write: {instead}"
