"""Flags that say which name is which: --columns=OURS=YOURS,..."""

from __future__ import annotations

from collections.abc import Iterable

from preprocess.shell.errors import UsageError


def parse_pairs(flag: str, pairs: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """`OURS=YOURS` each; raises UsageError, naming the flag, for anything else."""
    columns = []
    for pair in pairs:
        ours, equals, theirs = pair.partition("=")
        if not (ours and equals and theirs):
            raise UsageError(f"{flag}: '{pair}' is not OURS=YOURS")
        columns.append((ours, theirs))
    return tuple(columns)
