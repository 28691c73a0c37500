"""Two networks of ours that learn from scratch on a CPU in minutes."""

from typing import Any

import tensorflow as tf

# Output channels, kernel, stride of each convolution. All strides but the last: 1/16 of the side
# remains, 4x4 at 64 pixels and 7x7 at 112. 180 thousand weights with an embedding of 16.
CNN_LAYERS = ((24, 5, 2), (48, 3, 2), (64, 3, 2), (96, 3, 2), (96, 3, 1))
CNN_GROUPS = 8
MLP_LAYERS = (500, 500)


def cnn(inputs: Any, pooling: str) -> Any:
    """A small convolutional network with GroupNorm.

    GroupNorm and not BatchNorm: it has no statistics of the batch, so R replicas compute what one
    replica would.

    Args:
      inputs: float [N, S, S, C], about -1 to 1.
      pooling: "avg" or "max".

    Returns:
      float [N, 96].
    """
    features = inputs
    for number, (filters, kernel, stride) in enumerate(CNN_LAYERS):
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
        features = tf.keras.layers.GroupNormalization(CNN_GROUPS, name=f"norm_{number}")(features)
        features = tf.keras.layers.ReLU(name=f"relu_{number}")(features)
    return pool(features, pooling)


def mlp(inputs: Any) -> Any:
    """Two dense layers of 500 with ReLU: the MNIST network of the course.

    Args:
      inputs: float [N, S, S, C], 0 to 1.

    Returns:
      float [N, 500].
    """
    features = tf.keras.layers.Flatten(data_format="channels_last", name="flatten")(inputs)
    for number, units in enumerate(MLP_LAYERS):
        features = tf.keras.layers.Dense(units, activation="relu", name=f"dense_{number}")(features)
    return features


def pool(features: Any, pooling: str) -> Any:
    """Mean or maximum over the places of feature maps [N, H, W, F] -> [N, F]."""
    layers = tf.keras.layers
    kind = {"avg": layers.GlobalAveragePooling2D, "max": layers.GlobalMaxPooling2D}[pooling]
    return kind(data_format="channels_last", name="pool")(features)
