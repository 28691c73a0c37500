"""The result of a check."""

from __future__ import annotations

import dataclasses

OK, WARNING, FAIL = "ok", "warning", "FAIL"


@dataclasses.dataclass(frozen=True)
class Result:
    """One line of the table; `remedy` is what to do if it is not OK."""

    name: str
    state: str
    message: str
    remedy: str = ""


def ok(name: str, message: str) -> Result:
    """The check passed."""
    return Result(name, OK, message)


def warning(name: str, message: str, remedy: str = "") -> Result:
    """It may fail, or cannot be checked from here."""
    return Result(name, WARNING, message, remedy)


def fail(name: str, message: str, remedy: str) -> Result:
    """It will fail."""
    return Result(name, FAIL, message, remedy)
