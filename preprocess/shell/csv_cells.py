"""Cells of a CSV file that we write: never one that a spreadsheet would run as a formula."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
MARK = "'"  # what spreadsheets take for "this is text"; they do not show it


def safe_cells(cells: Iterable[Any]) -> list[Any]:
    """The cells with MARK in front of text that would be taken for a formula, blanks before it
    included. Numbers, written as text too, stay as they are.
    """
    return [_safe(cell) for cell in cells]


def _safe(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    # A blank in front does not help: some programs strip it.
    if not (cell.startswith(_FORMULA_STARTS) or cell.lstrip().startswith(_FORMULA_STARTS)):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"{MARK}{cell}"
    return cell
