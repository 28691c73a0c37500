"""Encoded pictures -> pixels, in the graph.

JPEG is decoded with the accurate integer transform: the pixels are then bit for bit those that the
build sees, at the same speed. TensorFlow's default is off by a few grey levels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from preprocess.dataset_format import ImageFormat, ImageKey
from trainer.data.decode_limits import within_limits
from trainer.data.rows import Tensors
from trainer.data.stored_form import StoredForm
from trainer.data.targets import Targets
from trainer.monitoring.stages import DECODE, HOST_MAP, PARSE

# The name of the map from records to pixels: an identifier, as tf.data requires.
RECORDS_TO_PIXELS = "_".join((PARSE, DECODE, HOST_MAP))

FEATURES = {
    ImageKey.ENCODED: tf.io.FixedLenFeature([], tf.string),
    ImageKey.KEY: tf.io.FixedLenFeature([], tf.int64),
    ImageKey.LABEL: tf.io.FixedLenFeature([], tf.int64, default_value=-1),
    ImageKey.HEIGHT: tf.io.FixedLenFeature([], tf.int64),
    ImageKey.WIDTH: tf.io.FixedLenFeature([], tf.int64),
    ImageKey.CHANNELS: tf.io.FixedLenFeature([], tf.int64),
}


def parse(payloads: tf.Tensor, further: Mapping[str, object] | None = None) -> Tensors:
    """The features of serialised records string[b], [b] each; `further` ones besides FEATURES."""
    with tf.name_scope(PARSE):
        found: Tensors = tf.io.parse_example(payloads, {**FEATURES, **(further or {})})
    return found


def parse_one(payload: tf.Tensor, further: Mapping[str, object] | None = None) -> Tensors:
    """The features of one serialised record, [] each; `further` ones besides FEATURES."""
    with tf.name_scope(PARSE):
        found: Tensors = tf.io.parse_single_example(payload, {**FEATURES, **(further or {})})
    return found


def decode(
    features: Tensors, image: ImageFormat, channels: int, looked_at: bool = False
) -> tf.Tensor:
    """uint8 [H, W, channels] of one parsed record; converts between grey and colour as needed.

    H and W are static if the manifest says that all pictures have the same size. `looked_at` = the
    record was read by StoredPictures, which rejects pictures beyond the limits.
    """
    encoded = features[ImageKey.ENCODED]
    if image.encoding == "raw":  # then all records are
        shape = [features[k] for k in (ImageKey.HEIGHT, ImageKey.WIDTH, ImageKey.CHANNELS)]
        pixels = tf.reshape(tf.io.decode_raw(encoded, tf.uint8), shape)
        if channels == 3:
            # Grey is repeated, colour stays: 3 // C copies of C channels.
            pixels = tf.tile(pixels, [1, 1, 3 // tf.cast(shape[2], tf.int32)])
        elif image.channels != 1:
            pixels = tf.image.rgb_to_grayscale(pixels)
    else:
        pixels = _decode(encoded if looked_at else within_limits(encoded), channels)
    return tf.ensure_shape(pixels, [image.height, image.width, channels])


@dataclasses.dataclass(frozen=True)
class Decoder(StoredForm):
    """Converts parsed records to pixels of one shape.

    Attributes:
      looked_at: whether all records come from StoredPictures, which checks the limits.
      targets: what else of a record a table keeps; None = nothing.
    """

    looked_at: bool = False
    targets: Targets | None = None

    def decode(self, features: Tensors) -> tf.Tensor:
        """uint8 [h, w, C] of one record, in its stored size."""
        return decode(features, self.image, self.channels, self.looked_at)

    def __call__(self, features: Tensors) -> tf.Tensor:
        """uint8 [H, W, C] of one record."""
        with tf.name_scope(DECODE):
            pixels = self.decode(features)
        if not self.side:
            return pixels
        with tf.name_scope(HOST_MAP):
            return stretch(pixels, self.side)

    def batch(self, features: Tensors) -> tf.Tensor:
        """uint8 [b, H, W, C] of b records."""
        pixels = tf.TensorSpec(self.shape, tf.uint8)
        with tf.name_scope(HOST_MAP):
            return tf.map_fn(self, features, fn_output_signature=pixels)

    def payload(self, payload: bytes) -> NDArray[np.uint8]:
        """uint8 [H, W, C], as an array, of a serialised record."""
        pixels: NDArray[np.uint8] = self(parse_one(payload)).numpy()
        return pixels


def decode_file(encoded: tf.Tensor, channels: int) -> tf.Tensor:
    """uint8 [H, W, channels] of the bytes of a JPEG or PNG file; equals `decode` of its record.

    Transparent parts of a PNG are drawn over white (unless everything is transparent, which is
    taken as it is), and 16 bits become 8, as in the build. EXIF orientation is ignored.
    """
    encoded = within_limits(encoded)

    def png() -> tf.Tensor:
        transparent = tf.shape(tf.io.decode_png(encoded))[-1] % 2 == 0
        return tf.cond(transparent, over_white, lambda: _decode(encoded, channels))

    def over_white() -> tf.Tensor:
        colour, alpha = tf.split(tf.cast(tf.io.decode_png(encoded, 4), tf.int32), [3, 1], -1)
        alpha = tf.where(tf.reduce_all(alpha == 0), 255, alpha)
        # (c * a + 255 * (255 - a)) / 255, rounded.
        pixels = (colour * alpha + 255 * (255 - alpha) + 127) // 255
        if channels == 1:
            # The weights of ITU-R 601 in 16 bits: grey stays unchanged.
            weighted = pixels * tf.constant([19595, 38470, 7471])
            pixels = (tf.reduce_sum(weighted, -1, keepdims=True) + 32768) // 65536
        return tf.cast(pixels, tf.uint8)

    pixels = tf.cond(tf.io.is_jpeg(encoded), lambda: _decode(encoded, channels), png)
    return tf.ensure_shape(pixels, [None, None, channels])


def _decode(encoded: tf.Tensor, channels: int) -> tf.Tensor:
    # Despite its name this op decodes PNG too; decode_image does not accept the method.
    return tf.io.decode_jpeg(encoded, channels, dct_method="INTEGER_ACCURATE")


def stretch(pixels: tf.Tensor, size: int) -> tf.Tensor:
    """uint8 [size, size, C] from pixels of any shape."""
    resized = tf.image.resize(pixels, [size, size], method="area")
    return tf.cast(tf.round(resized), tf.uint8)
