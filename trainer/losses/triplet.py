"""Triplet loss: hinges for each choice of the odd picture, weighted by its votes.

The triplet loss of Vemulapalli and Agarwala, "A Compact Embedding for Facial Expression
Similarity" (CVPR 2019, arXiv 1811.11283).
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from trainer.losses.arithmetic import at_least_float32, squared_distances

TASK = "triplet"


def build(delta: float) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The loss of squared distances [T, 3] and votes [T, 3] with a margin."""
    return lambda distances, votes: _of_distances(distances, votes, delta)


def triplet_loss(embeddings: tf.Tensor, votes: tf.Tensor, delta: float) -> tf.Tensor:
    """Triplet loss weighted by the votes.

    With d the squared distance, the odd picture `far` should be further from the other two, `n1`
    and `n2`, than these are from each other, by a margin of `delta`:

        h(far; n1, n2) = max(0, d(n1,n2) - d(n1,far) + delta) + max(0, d(n1,n2) - d(n2,far) + delta)

    and a triplet's loss is votes1 * h(1; 2,3) + votes2 * h(2; 1,3) + votes3 * h(3; 1,2).

    Args:
      embeddings: float [T, 3, E].
      votes: float [T, 3], share of annotators who called each picture the odd one; rows sum to 1.
      delta: margin, in squared distance.

    Returns:
      float [T], float32 or, for float64 embeddings, float64.
    """
    return _of_distances(squared_distances(embeddings), votes, delta)


def _of_distances(distances: tf.Tensor, votes: tf.Tensor, delta: float) -> tf.Tensor:
    # others[t, i]: the distance between the two pictures other than i. The distances of picture i
    # to those two are the remaining entries of the row, so h(i) compares entry i with the rest.
    others = tf.reverse(at_least_float32(distances), axis=[-1])
    hinges = tf.nn.relu(others[..., :, None] - others[..., None, :] + delta)
    rest = 1 - tf.eye(3, dtype=others.dtype)
    weights = tf.cast(votes, others.dtype)[..., :, None] * rest
    return tf.reduce_sum(weights * hinges, axis=[-2, -1])
