"""A small convolutional network with GroupNorm, which learns from scratch on a CPU in minutes.

GroupNorm and not BatchNorm: it has no statistics of the batch, so R replicas compute what one
replica would.
"""

from __future__ import annotations

import tensorflow as tf

from trainer.models.wanted import Wanted

FORM = "cnn"

# Output channels, kernel, stride of each convolution. All strides but the last: 1/16 of the side
# remains, 4x4 at 64 pixels and 7x7 at 112. 180 thousand weights with an embedding of 16.
LAYERS = ((24, 5, 2), (48, 3, 2), (64, 3, 2), (96, 3, 2), (96, 3, 1))
GROUPS = 8


def build(wanted: Wanted) -> tf.Tensor:
    """Features float [N, 96]."""
    features = wanted.pixels("-1..1")
    for number, (filters, kernel, stride) in enumerate(LAYERS):
        features = tf.keras.layers.Conv2D(
            filters,
            kernel,
            stride,
            padding="same",
            use_bias=False,  # GroupNorm's offset follows
            kernel_initializer="he_normal",
            data_format="channels_last",
            name=f"conv_{number}",
        )(features)
        features = tf.keras.layers.GroupNormalization(GROUPS, name=f"norm_{number}")(features)
        features = tf.keras.layers.ReLU(name=f"relu_{number}")(features)
    return pool(features, wanted.pooling)


def pool(features: tf.Tensor, pooling: str) -> tf.Tensor:
    """Mean or maximum over the places of feature maps [N, H, W, F] -> [N, F]."""
    layers = tf.keras.layers
    kind = {"avg": layers.GlobalAveragePooling2D, "max": layers.GlobalMaxPooling2D}[pooling]
    return kind(data_format="channels_last", name="pool")(features)
