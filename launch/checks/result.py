"""What a check says."""

from __future__ import annotations

import dataclasses

OK, WARNING, FAIL = "ok", "warning", "FAIL"


@dataclasses.dataclass(frozen=True)
class Result:
    """One line of the table; `remedy` is what to do where it is not OK."""

    name: str
    state: str
    message: str
    remedy: str = ""


def ok(name: str, message: str) -> Result:
    """Nothing to do."""
    return Result(name, OK, message)


def warning(name: str, message: str, remedy: str = "") -> Result:
    """It may go wrong, or cannot be told from here."""
    return Result(name, WARNING, message, remedy)


def fail(name: str, message: str, remedy: str) -> Result:
    """It cannot go well."""
    return Result(name, FAIL, message, remedy)
