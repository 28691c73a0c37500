"""What a model is judged by: triplet accuracy on the device, reports on the host in float64."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np
import tensorflow as tf

from preprocess.shell.json_text import JsonObject
from trainer.compat.saving import registered
from trainer.losses import squared_distances

# A triplet is counted only when more than half of its annotators agree on the odd picture.
MAJORITY = 0.5
# Of a confusion matrix in a report: it grows with the pictures, not with the classes squared.
MOST_CELLS = 50_000
_PART_CELLS = 1 << 24  # scores that are compared at a time


def triplet_hits(votes: tf.Tensor, embeddings: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Which triplets count, and which of them the embeddings get right.

    Right when both distances from the odd picture are greater than the distance between the other
    two; equal is not greater, so a model that maps all pictures to one point gets none right.

    Args:
      votes: float [T, 3], share of annotators that called each picture the odd one.
      embeddings: float [T, 3, E].

    Returns:
      (right bool [T], counted bool [T]); right implies counted.
    """
    others = tf.reverse(squared_distances(embeddings), axis=[-1])
    votes = tf.convert_to_tensor(votes)
    odd = tf.one_hot(tf.argmax(votes, axis=-1), 3, on_value=True, off_value=False)
    # others[t, odd] is the distance between the two that belong together.
    together = tf.reduce_sum(tf.where(odd, others, 0), axis=-1, keepdims=True)
    counted = tf.reduce_max(votes, axis=-1) > MAJORITY
    return counted & tf.reduce_all((others > together) | odd, axis=-1), counted


@registered
class TripletAccuracy(tf.keras.metrics.Metric):
    """Share of the counted triplets that are right; chance is 1/3.

    The state is two sums, so uneven batches and replicas add up exactly (float64).

    Attributes:
      right: float64 scalar, weight of the triplets that are right.
      counted: float64 scalar, weight of the triplets that count.
    """

    def __init__(self, name: str = "triplet_accuracy", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.right = self.add_weight(name="right", initializer="zeros", dtype=tf.float64)
        self.counted = self.add_weight(name="counted", initializer="zeros", dtype=tf.float64)

    def update_state(
        self, votes: tf.Tensor, embeddings: tf.Tensor, sample_weight: tf.Tensor | None = None
    ) -> None:
        """Add a batch.

        Args:
          votes: float [T, 3].
          embeddings: float [T, 3, E].
          sample_weight: float [T], 0 for padding; 1 each when absent.
        """
        right, counted = (tf.cast(hits, tf.float64) for hits in triplet_hits(votes, embeddings))
        weights = tf.ones_like(counted)
        if sample_weight is not None:
            weights = tf.reshape(tf.cast(sample_weight, tf.float64), tf.shape(counted))
        self.right.assign_add(tf.reduce_sum(weights * right))
        self.counted.assign_add(tf.reduce_sum(weights * counted))

    def result(self) -> tf.Tensor:
        """Float64 scalar: right / counted; NaN when nothing was counted, as 0 would be a claim."""
        return self.right / self.counted


def wilson_interval(right: float, counted: float, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a binomial share.

    Chosen over the normal approximation because it stays in [0, 1] and holds for few or extreme
    counts (Wilson 1927; Brown, Cai and DasGupta 2001).

    Args:
      right: successes, 0 <= right <= counted.
      counted: trials.
      confidence: of the two-sided interval, in (0, 1).

    Returns:
      (low, high); (0, 1) without trials.
    """
    if not counted:
        return 0.0, 1.0
    z2 = NormalDist().inv_cdf((1 + confidence) / 2) ** 2
    share = right / counted
    centre = (share + z2 / (2 * counted)) / (1 + z2 / counted)
    half = math.sqrt(z2 * (share * (1 - share) / counted + z2 / (4 * counted**2)))
    half /= 1 + z2 / counted
    # Rounding must not leave an interval that misses the share it is about.
    return max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share))


def triplet_hits_from_distances(
    distances: np.ndarray, votes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """`triplet_hits` on the host, from distances, as when several models' are averaged.

    Args:
      distances: float [T, 3]: d(1,2), d(1,3), d(2,3); squared or not.
      votes: float [T, 3].

    Returns:
      (right bool [T], counted bool [T]); right implies counted.
    """
    others = np.asarray(distances, np.float64).reshape(-1, 3)[:, ::-1]
    votes = np.asarray(votes).reshape(-1, 3)
    odd = np.arange(3) == votes.argmax(axis=1)[:, None]
    counted = votes.max(axis=1) > MAJORITY
    return counted & ((others > others[odd][:, None]) | odd).all(axis=1), counted


def area_under_curve(positive: np.ndarray, scores: np.ndarray) -> float | None:
    """Area under the ROC curve: the chance that a positive scores above a negative, ties half.

    From the ranks (Mann-Whitney): tied scores share the mean of their ranks.

    Args:
      positive: bool [N].
      scores: float [N].

    Returns:
      The area, or None if one of the two kinds is missing.
    """
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if not positives or not negatives:
        return None
    _, place, ties = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(ties) - (ties - 1) / 2)[place]
    above = ranks[positive].sum() - positives * (positives + 1) / 2
    return float(above / (positives * negatives))


def _share(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None


def _class_row(name: str, hits: float, predicted: float, support: float) -> JsonObject:
    return {
        "class": name,
        "precision": _share(hits, predicted),
        "recall": _share(hits, support),
        "f1": _share(2 * hits, predicted + support),
        "support": int(support),
    }


def places_of_labels(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Int [N]: how many classes come before the true one. A part of the rows at a time, as
    thousands of classes times all pictures may not fit into memory twice.
    """
    places = np.zeros(len(labels), np.int64)
    numbers = np.arange(scores.shape[1])
    rows = max(1, _PART_CELLS // max(1, scores.shape[1]))
    for start in range(0, len(labels), rows):
        part, true = scores[start : start + rows], labels[start : start + rows, None]
        own = np.take_along_axis(part, true, axis=1)
        before = (part > own) | ((part == own) & (numbers < true))
        places[start : start + rows] = before.sum(axis=1)
    return places


def _confusion(labels: np.ndarray, chosen: np.ndarray, classes: int) -> tuple[list[list[int]], int]:
    """([true, predicted, pictures] of each cell that is not 0, pictures of the cells left out)."""
    cells, counts = np.unique(labels * classes + chosen, return_counts=True)
    kept = np.sort(np.argsort(-counts, kind="stable")[:MOST_CELLS])
    left_out = int(counts.sum() - counts[kept].sum())
    cells, counts = cells[kept], counts[kept]
    return np.stack([cells // classes, cells % classes, counts], axis=1).tolist(), left_out


def classification_report(
    labels: np.ndarray, probabilities: np.ndarray, classes: list[str], top_k: int = 5
) -> JsonObject:
    """All figures of a classifier, plain data for JSON; None if a figure does not exist.

    Args:
      labels: int [N], true class numbers.
      probabilities: float [N, C], or any scores that order the classes.
      classes: the C names.
      top_k: k of the top-k accuracy; capped at C.

    Returns:
      `counted`, `right`, `accuracy`, `interval` [low, high] (95 %), `top_k` (k itself),
      `top_k_accuracy`, `per_class` (a row a class: `class`, `precision`, `recall`, `f1`,
      `support`), `confusion` ([true, predicted, pictures] of each pair of class numbers that there
      is, by class; of more than MOST_CELLS the most frequent ones), `confusion_left_out` (pictures
      in the others), `auc` (two classes only: of the second class).

    Raises:
      ValueError: a shape that does not fit, a label out of range, or NaN among the scores, which
        would count as a prediction of class 0.
    """
    labels = np.asarray(labels, np.int64).reshape(-1)
    scores = np.asarray(probabilities, np.float64)
    count = len(classes)
    if scores.shape != (len(labels), count):
        raise ValueError(
            f"scores of shape {scores.shape} for {len(labels)} labels, {count} classes"
        )
    if np.isnan(scores).any():
        raise ValueError(f"{int(np.isnan(scores).any(axis=1).sum())} predictions hold NaN")
    if len(labels) and not 0 <= labels.min() <= labels.max() < count:
        raise ValueError(f"labels {labels.min()} to {labels.max()} for {count} classes")

    # Equal scores go by class number everywhere, so that top-1 is the accuracy.
    chosen = scores.argmax(axis=1) if len(labels) else np.zeros(0, np.int64)
    top_k = min(top_k, count)
    hits = np.bincount(labels[chosen == labels], minlength=count)
    predicted, support = np.bincount(chosen, minlength=count), np.bincount(labels, minlength=count)
    right = int(hits.sum())
    in_top = (places_of_labels(labels, scores) < top_k).sum()
    cells, left_out = _confusion(labels, chosen, count)
    return {
        "counted": len(labels),
        "right": right,
        "accuracy": _share(right, len(labels)),
        "interval": list(wilson_interval(right, len(labels))) if len(labels) else None,
        "top_k": top_k,
        "top_k_accuracy": _share(in_top, len(labels)),
        "per_class": [
            _class_row(*row) for row in zip(classes, hits, predicted, support, strict=True)
        ],
        "confusion": cells,
        "confusion_left_out": left_out,
        "auc": area_under_curve(labels == 1, scores[:, 1] - scores[:, 0]) if count == 2 else None,
    }
