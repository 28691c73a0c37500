"""Encoded pictures -> pixels, in the graph.

JPEG is decoded by the accurate integer transform: the pixels are then, bit for bit, those that
the build sees, and the speed is the same. TensorFlow's own default is a few grey levels off.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from preprocess.dataset_format import ImageFormat, ImageKey
from trainer.stages import DECODE, HOST_MAP, PARSE

# The name of a map that goes from records to pixels: an identifier, as tf.data wants it.
RECORDS_TO_PIXELS = "_".join((PARSE, DECODE, HOST_MAP))

FEATURES = {
    ImageKey.ENCODED: tf.io.FixedLenFeature([], tf.string),
    ImageKey.KEY: tf.io.FixedLenFeature([], tf.int64),
    ImageKey.LABEL: tf.io.FixedLenFeature([], tf.int64, default_value=-1),
    ImageKey.HEIGHT: tf.io.FixedLenFeature([], tf.int64),
    ImageKey.WIDTH: tf.io.FixedLenFeature([], tf.int64),
    ImageKey.CHANNELS: tf.io.FixedLenFeature([], tf.int64),
}


def parse(payloads: Any) -> dict[str, Any]:
    """The features, [b] each, of serialised records string[b]."""
    with tf.name_scope(PARSE):
        found: dict[str, Any] = tf.io.parse_example(payloads, FEATURES)
    return found


def parse_one(payload: Any) -> dict[str, Any]:
    """The features, [] each, of one serialised record."""
    with tf.name_scope(PARSE):
        found: dict[str, Any] = tf.io.parse_single_example(payload, FEATURES)
    return found


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
        pixels = _decode(encoded, channels)
    return tf.ensure_shape(pixels, [image.height, image.width, channels])


@dataclasses.dataclass(frozen=True)
class Decoder:
    """Parsed records -> pixels of one shape.

    Attributes:
      image: how the dataset stores its pictures.
      channels: of the pixels, 1 or 3.
      side: what pictures are stretched to where they have several sizes; 0 = they have one.
    """

    image: ImageFormat
    channels: int
    side: int = 0

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        if self.side:
            return self.side, self.side, self.channels
        assert self.image.height is not None
        assert self.image.width is not None
        return self.image.height, self.image.width, self.channels

    def decode(self, features: dict[str, Any]) -> Any:
        """uint8 [h, w, C] of one record, in the size it is stored in."""
        return decode(features, self.image, self.channels)

    def __call__(self, features: dict[str, Any]) -> Any:
        """uint8 [H, W, C] of one record."""
        with tf.name_scope(DECODE):
            pixels = self.decode(features)
        if not self.side:
            return pixels
        with tf.name_scope(HOST_MAP):
            return stretch(pixels, self.side)

    def batch(self, features: dict[str, Any]) -> Any:
        """uint8 [b, H, W, C] of b records."""
        pixels = tf.TensorSpec(self.shape, tf.uint8)
        with tf.name_scope(HOST_MAP):
            return tf.map_fn(self, features, fn_output_signature=pixels)

    def payload(self, payload: bytes) -> Any:
        """uint8 [H, W, C], as an array, of a serialised record."""
        return self(parse_one(payload)).numpy()


def decode_file(encoded: Any, channels: int) -> Any:
    """uint8 [H, W, channels] of the bytes of a JPEG or PNG file, as `decode` has its record.

    What is transparent in a PNG is laid over white and 16 bits become 8, as in the build.
    EXIF's orientation is not looked at.
    """

    def png() -> Any:
        transparent = tf.shape(tf.io.decode_png(encoded))[-1] % 2 == 0
        return tf.cond(transparent, over_white, lambda: _decode(encoded, channels))

    def over_white() -> Any:
        colour, alpha = tf.split(tf.cast(tf.io.decode_png(encoded, 4), tf.int32), [3, 1], -1)
        # (c * a + 255 * (255 - a)) / 255, rounded.
        pixels = (colour * alpha + 255 * (255 - alpha) + 127) // 255
        if channels == 1:
            # The weights of ITU-R 601 in 16 bits: grey stays what it is.
            weighted = pixels * tf.constant([19595, 38470, 7471])
            pixels = (tf.reduce_sum(weighted, -1, keepdims=True) + 32768) // 65536
        return tf.cast(pixels, tf.uint8)

    pixels = tf.cond(tf.io.is_jpeg(encoded), lambda: _decode(encoded, channels), png)
    return tf.ensure_shape(pixels, [None, None, channels])


def _decode(encoded: Any, channels: int) -> Any:
    # In spite of its name this op takes PNG too; decode_image would not take the method.
    return tf.io.decode_jpeg(encoded, channels, dct_method="INTEGER_ACCURATE")


def stretch(pixels: Any, size: int) -> Any:
    """uint8 [size, size, C] from pixels of any shape."""
    resized = tf.image.resize(pixels, [size, size], method="area")
    return tf.cast(tf.round(resized), tf.uint8)
