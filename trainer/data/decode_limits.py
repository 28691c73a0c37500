"""The limits of record_limits.py in a graph: before TensorFlow decodes a picture.

TensorFlow itself decodes 178 million pixels, and a JPEG with any number of scans. Used where
records do not pass through Python (a table, a tf.data service, an exported model, which is sent
pictures by anybody), as it takes some twenty operations, half of what decoding a small picture
takes.
"""

from __future__ import annotations

import io

import tensorflow as tf
from PIL import Image

from preprocess.pictures.limits import MAX_PIXELS, MAX_SCANNED_PIXELS, MAX_SCANS

TOO_LARGE = "more pixels or scans than are decoded, or neither JPEG nor PNG"

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_SCAN = b"\xff\xda"
_PNG_SIZE, _PNG_SIZE_BYTES = 16, 8  # where width and height stand, big-endian


def within_limits(encoded: tf.Tensor) -> tf.Tensor:
    """String [] of a JPEG or PNG file as it is; an InvalidArgumentError, TOO_LARGE, where it is
    beyond the limits. What is damaged is left to the decoder.

    What looks like a scan in profiles and thumbnails counts, too, a few at most: these two bytes
    stand among the pixels of a JPEG only where a scan begins.
    """
    start = tf.strings.substr(encoded, 0, _PNG_SIZE + _PNG_SIZE_BYTES)
    jpeg = tf.strings.substr(start, 0, len(_JPEG)) == _JPEG
    png = tf.strings.substr(start, 0, len(_PNG)) == _PNG
    padded = tf.strings.join([start, bytes(_PNG_SIZE + _PNG_SIZE_BYTES)])
    size = tf.strings.substr(padded, _PNG_SIZE, _PNG_SIZE_BYTES)
    of_png = tf.cast(tf.io.decode_raw(size, tf.int32, little_endian=False), tf.int64)
    of_jpeg = tf.io.extract_jpeg_shape(tf.where(jpeg, encoded, _ONE_PIXEL), tf.int64)[:2]
    pixels = tf.reduce_prod(tf.where(jpeg, of_jpeg, of_png))
    scans = tf.where(jpeg, tf.size(tf.strings.split(encoded, _SCAN), tf.int64) - 1, 1)
    right = (
        (jpeg | png)
        & (pixels <= MAX_PIXELS)
        & (scans <= MAX_SCANS)
        & (scans * pixels <= MAX_SCANNED_PIXELS)
    )
    # Not tf.Assert, which puts a condition around it.
    checked = tf.raw_ops.Assert(condition=right, data=[TOO_LARGE, pixels, scans])
    with tf.control_dependencies([checked]):
        return tf.identity(encoded)


def _one_pixel() -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (1, 1)).save(buffer, "JPEG")
    return buffer.getvalue()


_ONE_PIXEL = _one_pixel()  # in place of a PNG where a JPEG's header is read
