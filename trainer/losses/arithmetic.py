"""Arithmetic shared by losses and metrics."""

from __future__ import annotations

import tensorflow as tf

from preprocess.shell.errors import ConfigError


def at_least_float32(tensor: tf.Tensor) -> tf.Tensor:
    """Casts to float32, since half precision is too coarse for losses; float64 stays float64."""
    tensor = tf.convert_to_tensor(tensor)
    return tensor if tensor.dtype == tf.float64 else tf.cast(tensor, tf.float32)


def squared_distances(embeddings: tf.Tensor) -> tf.Tensor:
    """Squared distances between the three pictures of each triplet.

    Args:
      embeddings: float [T, 3, E].

    Returns:
      float [T, 3]: d(1,2), d(1,3), d(2,3). Reversed, entry i is the distance between the two
      pictures other than i. float32, or float64 for float64 embeddings.
    """
    first, second, third = tf.unstack(at_least_float32(embeddings), num=3, axis=-2)
    pairs = [first - second, first - third, second - third]
    return tf.stack([tf.reduce_sum(tf.square(pair), axis=-1) for pair in pairs], axis=-1)


def smoothed(labels: tf.Tensor, logits: tf.Tensor, smoothing: float = 0.0) -> tf.Tensor:
    """Target probabilities of classes: 1 - smoothing for the label, the rest spread over all.

    Args:
      labels: int [B].
      logits: float [B, classes]; gives the number of classes and the dtype.
      smoothing: share that is spread, in [0, 1) (Szegedy et al., arXiv 1512.00567, section 7).

    Returns:
      float [B, classes], rows summing to 1.
    """
    classes = logits.shape[-1]
    hot = tf.one_hot(tf.cast(labels, tf.int32), classes, dtype=logits.dtype)
    return hot * (1 - smoothing) + smoothing / classes if smoothing else hot


def focus(gap: tf.Tensor, gamma: float) -> tf.Tensor:
    """Gap ** gamma, where gap is a probability's distance from 1, with a finite gradient at 0."""
    return tf.pow(tf.maximum(gap, tf.keras.backend.epsilon()), gamma) if gamma else 1.0


def check_share(name: str, value: float) -> None:
    """Raises ConfigError if a setting of a loss is not in [0, 1)."""
    if not _is_number(value) or not 0 <= value < 1:
        raise ConfigError(f"loss.args.{name}={value!r}: must be a number in [0, 1)")


def check_not_negative(name: str, value: float) -> None:
    """Raises ConfigError if a setting of a loss is negative."""
    if not _is_number(value) or value < 0:
        raise ConfigError(f"loss.args.{name}={value!r}: must be a number of at least 0")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
