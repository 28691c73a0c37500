"""Chooses the columns, features or arrays of a file by their content."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from preprocess.shell.errors import DataError, UsageError


def check_given(given: Mapping[str, str], flag: str, there: Collection[str], file: str) -> None:
    """Raises if the user names something that does not exist: UsageError for our names, DataError
    for names of the file.
    """
    for ours, theirs in given.items():
        if ours not in ("image", "label"):
            raise UsageError(f"{flag}: unknown name '{ours}'; this source has image, label")
        if theirs not in there:
            shown = ", ".join(there)[:200]
            raise DataError(f"{flag}: '{file}' has no '{theirs}'; it has {shown}")


def choose(what: str, usual: Collection[str], fitting: Sequence[str], where: str, flag: str) -> str:
    """The only name that fits, or the usual one of several; raises DataError."""
    named = [name for name in fitting if name.lower() in usual]
    for candidates in (fitting, named):
        if len(candidates) == 1:
            return candidates[0]
    problem = "several may be" if fitting else "nothing looks like"
    shown = f": {', '.join(fitting)[:200]}" if fitting else ""
    raise DataError(f"'{where}': {problem} the {what}{shown}. Choose with {flag}={what}=NAME")
