"""Heads: from features to embeddings or logits, in float32 under every precision policy."""

from __future__ import annotations

import tensorflow as tf

from trainer.models.layers import KeyedDropout, L2Normalize, Scale

LOGITS = "logits"
NUMBERS = "numbers"  # the name of a classifier's last layer


def class_head(features: tf.Tensor, dropout: float, classes: int) -> tf.Tensor:
    """Dropout and a dense layer.

    Args:
      features: float [N, F].
      dropout: rate, 0 to 1.
      classes: number of classes.

    Returns:
      float32 [N, classes] logits.
    """
    features = KeyedDropout(dropout, name="head_dropout")(features)
    return tf.keras.layers.Dense(classes, dtype="float32", name=LOGITS)(features)


def embedding_head(features: tf.Tensor, dropout: float, size: int, scale: float) -> tf.Tensor:
    """Dropout, a dense layer, and onto the sphere of radius `scale`.

    Args:
      features: float [N, F].
      dropout: rate, 0 to 1.
      size: dimensions E of the embedding.
      scale: length of every embedding.

    Returns:
      float32 [N, E].
    """
    features = KeyedDropout(dropout, name="head_dropout")(features)
    embeddings = tf.keras.layers.Dense(size, dtype="float32", name="embedding")(features)
    return Scale(scale, name="scale")(L2Normalize(name="normalize")(embeddings))


def number_head(features: tf.Tensor, dropout: float, count: int) -> tf.Tensor:
    """Dropout and a dense layer.

    Args:
      features: float [N, F].
      dropout: rate, 0 to 1.
      count: how many numbers a picture has.

    Returns:
      float32 [N, count].
    """
    features = KeyedDropout(dropout, name="head_dropout")(features)
    return tf.keras.layers.Dense(count, dtype="float32", name=NUMBERS)(features)
