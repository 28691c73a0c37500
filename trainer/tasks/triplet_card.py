"""The report card of a triplet model: where it is right, next to published results.

Some triplets are harder than others: their pictures show one, two or three expressions, and
annotators agree more or less. A single accuracy hides that.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from preprocess.shell.json_text import JsonObject
from trainer.metrics import MAJORITY, triplet_hits_from_distances, wilson_interval

# Upper bounds (inclusive) of the share of annotators who agree on the odd picture; below the
# first bound there is no majority. With FEC's usual six annotators a share is 4, 5 or 6 of 6.
AGREEMENT = (0.6, 0.7, 0.8, 0.9, 1.0)
# Votes are stored normalised in float32: 0.7 may be read as 0.70000005.
_ROUNDING = 1e-5


@dataclasses.dataclass(frozen=True)
class Reference:
    """An accuracy to compare with; `of` names the test set it was measured on."""

    name: str
    accuracy: float
    of: str


_FEC = "the whole FEC test set"
_PAPER = "Vemulapalli and Agarwala, CVPR 2019"
REFERENCES = (
    Reference("chance", 1 / 3, "any triplets"),
    Reference("FECNet", 0.818, f"{_FEC}, as published ({_PAPER})"),
    Reference("people", 0.862, f"{_FEC}, as cited, not confirmed"),
)


def report_card(distances: np.ndarray, votes: np.ndarray, types: Sequence[str]) -> JsonObject:
    """Accuracy overall, by triplet type, and by agreement of the annotators.

    Args:
      distances: float [T, 3]: d(1,2), d(1,3), d(2,3); squared or not.
      votes: float [T, 3].
      types: T names, such as ONE_CLASS_TRIPLET; '' for unknown.

    Returns:
      Plain data for JSON. `overall`, and rows in `by_type` and `by_agreement` (its bounds in
      `above` and `to`), each with `name`, `counted`, `right`, `accuracy` and `interval` (95 %);
      rows without a counted triplet are left out. `without_majority`: the number of triplets that
      do not count. `references`: accuracies to compare with and their test sets.
    """
    right, counted = triplet_hits_from_distances(distances, votes)
    named, agreement = np.asarray(types, dtype=object), np.asarray(votes).max(axis=1)
    by_type = [
        _row(name or "no type", right, counted & (named == name)) for name in sorted({*types})
    ]
    by_agreement = []
    for low, high in zip((MAJORITY, *AGREEMENT), AGREEMENT, strict=False):
        # The lowest bound is the one for counting a triplet at all.
        above = agreement > (low + _ROUNDING if low > MAJORITY else low)
        those = counted & above & (agreement <= high + _ROUNDING)
        row = _row(f"{100 * low:.0f}–{100 * high:.0f} % agree", right, those)
        by_agreement.append({**row, "above": low, "to": high})
    return {
        "overall": _row("all", right, counted),
        "by_type": [row for row in by_type if row["counted"]],
        "by_agreement": [row for row in by_agreement if row["counted"]],
        "without_majority": int((~counted).sum()),
        "references": [dataclasses.asdict(reference) for reference in REFERENCES],
    }


def _row(name: str, right: np.ndarray, those: np.ndarray) -> JsonObject:
    total, hits = int(those.sum()), int((right & those).sum())
    return {
        "name": name,
        "counted": total,
        "right": hits,
        "accuracy": hits / total if total else None,
        "interval": list(wilson_interval(hits, total)) if total else None,
    }
