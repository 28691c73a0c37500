"""The one table of what range of pixels a backbone wants, and the layer that gives it.

Pixels travel as 0 to 255 until the backbone; what happens there is decided here and nowhere else.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from preprocess.shell.errors import ConfigError
from trainer.compat.saving import registered

# Per channel: the order of channels taken, then (pixel - mean) / deviation. The means and
# deviations of ImageNet are those of `keras.applications.imagenet_utils.preprocess_input`.
_RGB, _BGR = (0, 1, 2), (2, 1, 0)
RANGES: dict[str, tuple[tuple[int, ...], Any, Any]] = {
    "0..255": (_RGB, 0.0, 1.0),  # the backbone rescales inside
    "-1..1": (_RGB, 127.5, 127.5),
    "0..1": (_RGB, 0.0, 255.0),
    "caffe": (_BGR, (103.939, 116.779, 123.68), 1.0),
    "torch": (_RGB, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
}


@registered
class Pixels(tf.keras.layers.Layer):
    """Pixels 0 to 255 to the range a backbone wants, in float32; grey to RGB where it wants that.

    Attributes:
      range: a key of RANGES.
      channels: channels given out; grey pictures are repeated to 3.

    Raises:
      ConfigError: an unknown range, or one of RGB means for anything but 3 channels.
    """

    def __init__(self, range: str, channels: int = 3, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        if range not in RANGES:
            raise ConfigError(f"model.pixel_range={range!r} is none of {', '.join(RANGES)}")
        if range in ("caffe", "torch") and channels != 3:
            raise ConfigError(f"model.pixel_range={range} is for 3 channels, not {channels}")
        self.range = range
        self.channels = channels

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns float32 [N, H, W, channels] of pixels [N, H, W, 1 or channels]."""
        images = tf.cast(inputs, tf.float32)
        if images.shape[-1] == 1 < self.channels:
            images = tf.repeat(images, self.channels, axis=-1)
        order, mean, deviation = RANGES[self.range]
        if order == _BGR:
            images = tf.reverse(images, axis=[-1])
        return (images - mean) / deviation

    def get_config(self) -> dict[str, object]:
        """Arguments to build this layer again."""
        return {**super().get_config(), "range": self.range, "channels": self.channels}
