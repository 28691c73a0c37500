"""The weights of a model or layer in an order that does not depend on what is frozen.

Keras lists those that train before those that do not, of all layers inside a layer together; a
layer that is frozen lists its inner layers one by one.
"""

from __future__ import annotations

import tensorflow as tf


def weights_in_order(layer: tf.keras.layers.Layer) -> list[tf.Variable]:
    """Every weight once, layer by layer, those of a layer itself before those inside it."""
    found = [
        weight
        for each in layer._flatten_layers()
        for weight in (*each._trainable_weights, *each._non_trainable_weights)
    ]
    return list({id(weight): weight for weight in found}.values())
