"""Image records -> pixels, in the graph."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from preprocess.dataset_format import ImageFormat, ImageKey

FEATURES = {
    ImageKey.ENCODED: tf.io.FixedLenFeature([], tf.string),
    ImageKey.KEY: tf.io.FixedLenFeature([], tf.int64),
    ImageKey.LABEL: tf.io.FixedLenFeature([], tf.int64, default_value=-1),
    ImageKey.HEIGHT: tf.io.FixedLenFeature([], tf.int64),
    ImageKey.WIDTH: tf.io.FixedLenFeature([], tf.int64),
    ImageKey.CHANNELS: tf.io.FixedLenFeature([], tf.int64),
}


def decode(features: dict[str, Any], image: ImageFormat, channels: int) -> Any:
    """uint8 [H, W, channels] of one parsed record; grey and colour are turned into each other.

    H and W are static where the manifest says that all pictures have the same.
    """
    encoded = features[ImageKey.ENCODED]
    if image.encoding == "raw":  # then every record is
        shape = [features[k] for k in (ImageKey.HEIGHT, ImageKey.WIDTH, ImageKey.CHANNELS)]
        pixels = tf.reshape(tf.io.decode_raw(encoded, tf.uint8), shape)
        if channels == 3:
            # Grey repeats, colour stays: 3 // C copies of C channels.
            pixels = tf.tile(pixels, [1, 1, 3 // tf.cast(shape[2], tf.int32)])
        elif image.channels != 1:
            pixels = tf.image.rgb_to_grayscale(pixels)
    else:
        pixels = tf.io.decode_image(encoded, channels=channels, expand_animations=False)
    return tf.ensure_shape(pixels, [image.height, image.width, channels])


def stretch(pixels: Any, size: int) -> Any:
    """uint8 [size, size, C] from pixels of any shape."""
    resized = tf.image.resize(pixels, [size, size], method="area")
    return tf.cast(tf.round(resized), tf.uint8)
