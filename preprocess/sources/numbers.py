"""Numbers as tables have them: 0.5, 0,5 (a decimal comma), 66.67 %."""

from __future__ import annotations


def number(cell: str) -> float:
    """The number in a cell, without its per cent sign; raises ValueError where there is none."""
    text = cell.strip().removesuffix("%").rstrip()
    try:
        return float(text)
    except ValueError:
        if text.count(",") == 1 and "." not in text:
            return float(text.replace(",", "."))
        raise


def is_number(cell: str) -> bool:
    """Whether a cell holds a number."""
    try:
        number(cell)
    except ValueError:
        return False
    return True
