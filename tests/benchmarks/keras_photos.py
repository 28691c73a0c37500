"""The operations of the recipe `photos` by Keras's preprocessing layers, for bench_recipe.

Keras draws for the batch from one generator, so no variant can be made alone; it turns, shifts and
zooms always where the recipe does so to 70 % of the pictures, in one warp each where the recipe
has one for all. Hue and saturation are TensorFlow's own operations. Holes are filled by a mask:
Keras 2 has no layer for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def make_variants(
    side: int, holes: Sequence[tuple[int, int]]
) -> Callable[[list[np.ndarray], int], np.ndarray]:
    """What makes one variant of each of the pictures, uint8[side, side, 3], as one batch.

    Args:
      side: of the pictures, pixels.
      holes: height and width of each, for a picture of 384 pixels.
    """
    from trainer.compat.quiet import silence

    silence()  # the package has also made `tf.keras` Keras 2 on both stacks
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    layers = tf.keras.layers
    geometry = tf.keras.Sequential(
        [
            layers.RandomFlip("horizontal"),
            layers.RandomRotation(45 / 360, fill_mode="reflect"),
            layers.RandomTranslation(0.0625, 0.0625, fill_mode="reflect"),
            layers.RandomZoom(0.1, fill_mode="reflect"),
        ]
    )

    @tf.function
    def variants(pictures: Any) -> Any:
        changed = geometry(pictures, training=True) / 255.0
        changed = tf.map_fn(colours, changed)
        for height, width in holes:
            hole = (round(height / 384 * side), round(width / 384 * side))
            changed = changed * keep(tf.shape(changed)[0], *hole)
        return tf.cast(tf.round(changed * 255.0), tf.uint8)

    def colours(picture: Any) -> Any:
        """Of one picture: TensorFlow draws one change for all that it is given."""
        picture = tf.image.random_hue(picture, 40 / 360)
        picture = tf.image.random_saturation(picture, 0.7, 1.3)
        return tf.clip_by_value(picture * tf.random.uniform((), 0.85, 1.15), 0.0, 1.0)

    def keep(count: Any, height: int, width: int) -> Any:
        """0 in a hole of every second picture, 1 elsewhere; float32[count, side, side, 1]."""
        rows = tf.range(side)[None, :]
        top = tf.random.uniform((count, 1), 0, side - height + 1, tf.int32)
        left = tf.random.uniform((count, 1), 0, side - width + 1, tf.int32)
        down = (rows >= top) & (rows < top + height)
        across = (rows >= left) & (rows < left + width)
        chosen = tf.random.uniform((count, 1, 1)) < 0.5
        return 1.0 - tf.cast(down[:, :, None] & across[:, None, :] & chosen, tf.float32)[..., None]

    def make(pictures: list[np.ndarray], variant: int) -> np.ndarray:
        del variant
        made: np.ndarray = variants(tf.constant(np.stack(pictures), tf.float32)).numpy()
        return made

    return make
