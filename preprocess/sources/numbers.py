"""Numbers as tables write them: 0.5, 0,5 (a decimal comma), 66.67 %."""

from __future__ import annotations


def number(cell: str) -> float:
    """The number in a cell, without its per cent sign; raises ValueError for other texts."""
    text = cell.strip().removesuffix("%").rstrip()
    try:
        return float(text)
    except ValueError:
        if text.count(",") == 1 and "." not in text:
            return float(text.replace(",", "."))
        raise


def is_number(cell: str) -> bool:
    """Whether a cell is a number."""
    try:
        number(cell)
    except ValueError:
        return False
    return True
