"""Kubernetes' quantities: `500m`, `16Gi`, `1e3`."""

from __future__ import annotations

import re

_UNITS = ((2**40, "Ti"), (2**30, "Gi"), (2**20, "Mi"))
_QUANTITY = re.compile(r"([0-9.]+(?:[eE][0-9]+)?)(m|[kKMGTPE]i?)?")


def amount(text: object) -> float:
    """A quantity as a number, of bytes or processors; 0 for invalid ones.

    Source: "Quantity" of the Kubernetes API reference (k is 1000, Ki is 1024, m a thousandth).
    """
    match = _QUANTITY.fullmatch(str(text))
    if not match:
        return 0.0
    number, unit = float(match[1]), match[2]
    if unit == "m":
        return number / 1000
    power = " KMGTPE".index(unit[0].upper()) if unit else 0
    return number * (1024 if unit and unit.endswith("i") else 1000) ** power


def written(value: float) -> str:
    """A number of bytes or processors as a person writes it: `20Gi`, `7.5`."""
    for size, unit in _UNITS:
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"
