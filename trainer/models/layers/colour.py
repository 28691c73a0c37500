"""What the layers on colours have in common."""

from __future__ import annotations

import tensorflow as tf

LUMA = (0.299, 0.587, 0.114)  # of red, green and blue, ITU-R BT.601


def grey(images: tf.Tensor) -> tf.Tensor:
    """The luma of each pixel, float32 [N, H, W, 1], of RGB pictures float32 [N, H, W, 3]."""
    red, green, blue = tf.split(images, 3, axis=-1)
    # Written out: a product of matrices would be rounded to 10 bits on some GPUs.
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
