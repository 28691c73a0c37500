"""Two dense layers of 500 with ReLU: the MNIST network of the course."""

from __future__ import annotations

import tensorflow as tf

from trainer.models.wanted import Wanted

FORM = "mlp"
LAYERS = (500, 500)


def build(wanted: Wanted) -> tf.Tensor:
    """Features float [N, 500]."""
    features = tf.keras.layers.Flatten(data_format="channels_last", name="flatten")(
        wanted.pixels("0..1")
    )
    for number, units in enumerate(LAYERS):
        features = tf.keras.layers.Dense(units, activation="relu", name=f"dense_{number}")(features)
    return features
