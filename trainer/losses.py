"""Losses, one value an element: weighting and averaging belong to the training step.

The triplet loss is that of Vemulapalli and Agarwala, "A Compact Embedding for Facial Expression
Similarity" (CVPR 2019, arXiv 1811.11283), each choice of the odd picture weighted by its votes.
"""

from typing import Any

import tensorflow as tf


def _at_least_float32(tensor: Any) -> Any:
    """Distances and losses of a half-precision model are taken in float32; float64 is kept."""
    tensor = tf.convert_to_tensor(tensor)
    return tensor if tensor.dtype == tf.float64 else tf.cast(tensor, tf.float32)


def squared_distances(embeddings: Any) -> Any:
    """Squared distances between the three pictures of each triplet.

    Args:
      embeddings: float [T, 3, E].

    Returns:
      float [T, 3]: d(1,2), d(1,3), d(2,3). Reversed, entry i is the distance between the two
      pictures other than i. float32, or float64 for float64 embeddings.
    """
    first, second, third = tf.unstack(_at_least_float32(embeddings), num=3, axis=-2)
    pairs = [first - second, first - third, second - third]
    return tf.stack([tf.reduce_sum(tf.square(pair), axis=-1) for pair in pairs], axis=-1)


def triplet_loss(embeddings: Any, votes: Any, delta: float) -> Any:
    """Triplet loss weighted by the votes.

    With d the squared distance, the odd picture `far` ought to be further than `delta` beyond the
    distance between the other two, `n1` and `n2`:

        h(far; n1, n2) = max(0, d(n1,n2) - d(n1,far) + delta) + max(0, d(n1,n2) - d(n2,far) + delta)

    and a triplet's loss is votes1 * h(1; 2,3) + votes2 * h(2; 1,3) + votes3 * h(3; 1,2).

    Args:
      embeddings: float [T, 3, E].
      votes: float [T, 3], share of annotators that called each picture the odd one; rows sum to 1.
      delta: margin, in squared distance.

    Returns:
      float [T], float32 or, for float64 embeddings, float64.
    """
    # others[t, i]: the distance between the two pictures other than i. The distances of picture i
    # to those two are the remaining entries of the row, so h(i) compares entry i with the rest.
    others = tf.reverse(squared_distances(embeddings), axis=[-1])
    hinges = tf.nn.relu(others[..., :, None] - others[..., None, :] + delta)
    rest = 1 - tf.eye(3, dtype=others.dtype)
    weights = tf.cast(votes, others.dtype)[..., :, None] * rest
    return tf.reduce_sum(weights * hinges, axis=[-2, -1])


def class_loss(logits: Any, labels: Any) -> Any:
    """Categorical cross-entropy of integer labels.

    Args:
      logits: float [B, classes].
      labels: int [B], each in [0, classes); padded rows need a valid label too, such as 0.

    Returns:
      float [B], -log softmax(logits)[label], float32 or, for float64 logits, float64.
    """
    return tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=tf.cast(labels, tf.int32), logits=_at_least_float32(logits)
    )
