"""Figures of multi-label predictions: by label, and by decision threshold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from preprocess.shell.json_text import JsonObject
from trainer.measures.class_counts import THRESHOLD, Floats, class_counts
from trainer.metrics import area_under_curve

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))


def label_report(truth: np.ndarray, scores: Floats, labels: Sequence[str]) -> JsonObject:
    """All figures, plain data for JSON; None if a figure is undefined.

    Args:
      truth: [N,C], positive where a record has the label.
      scores: float64[N,C] in [0, 1].
      labels: the C names.

    Returns:
      `threshold`, `per_label` (one row for each label at that threshold: `label`, `precision`,
      `recall`, `f1`, `auc`, `support`, and `best_threshold`, the one of THRESHOLDS with the best
      F1), `thresholds` (one row each: `threshold`, `precision`, `recall`, `f1` over all labels,
      `f1_macro`, `exact_match`), `best_threshold` (the one with the best `f1`).
    """
    true = truth > 0
    at = {t: class_counts(scores, true, t) for t in {*THRESHOLDS, THRESHOLD}}
    by_label = np.stack([_f1(*at[t]) for t in THRESHOLDS])
    hits, predicted, support = at[THRESHOLD]
    rows: list[JsonObject] = []
    for c, name in enumerate(labels):
        best = int(by_label[:, c].argmax())
        rows.append(
            {
                "label": name,
                "precision": _share(hits[c], predicted[c]),
                "recall": _share(hits[c], support[c]),
                "f1": _share(2 * hits[c], predicted[c] + support[c]),
                "auc": area_under_curve(true[:, c], scores[:, c]),
                "support": int(support[c]),
                "best_threshold": THRESHOLDS[best] if support[c] else None,
            }
        )
    table = []
    for t in THRESHOLDS:
        hits, predicted, support = at[t]
        seen = at[t].seen
        table.append(
            {
                "threshold": t,
                "precision": _share(hits.sum(), predicted.sum()),
                "recall": _share(hits.sum(), support.sum()),
                "f1": _share(2 * hits.sum(), predicted.sum() + support.sum()),
                "f1_macro": float(_f1(*at[t])[seen].mean()) if seen.any() else None,
                "exact_match": _share(((scores >= t) == true).all(1).sum(), len(true)),
            }
        )
    best_row = max(table, key=lambda row: row["f1"] or 0.0)
    return {
        "threshold": THRESHOLD,
        "per_label": rows,
        "thresholds": table,
        "best_threshold": best_row["threshold"] if best_row["f1"] else None,
    }


def _f1(hits: Floats, predicted: Floats, support: Floats) -> Floats:
    return 2 * hits / np.maximum(predicted + support, 1)


def _share(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None
