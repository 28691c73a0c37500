"""The limits of record_limits.py in a graph, checked before TensorFlow decodes a picture.

TensorFlow itself decodes up to 178 million pixels, and a JPEG with any number of scans. Used where
records do not pass through Python (a table, a tf.data service, an exported model that anybody may
send pictures to): the check takes some twenty operations, half the cost of decoding a small
picture.
"""

from __future__ import annotations

import io

import tensorflow as tf
from PIL import Image

from preprocess.pictures.limits import MAX_PIXELS, MAX_SCANNED_PIXELS, MAX_SCANS

TOO_LARGE = "more pixels or scans than are decoded, or neither JPEG nor PNG"

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_SCAN = b"\xff\xda"
_PNG_SIZE, _PNG_SIZE_BYTES = 16, 8  # offset and length of width and height, big-endian


def within_limits(encoded: tf.Tensor) -> tf.Tensor:
    """A JPEG or PNG file, string [], unchanged; InvalidArgumentError with TOO_LARGE if it exceeds
    the limits. Damaged files are left to the decoder.

    Scan markers in profiles and thumbnails count too; there are few. Among a JPEG's pixels these
    two bytes only occur where a scan begins.
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
    # Not tf.Assert, which wraps it in a condition.
    checked = tf.raw_ops.Assert(condition=right, data=[TOO_LARGE, pixels, scans])
    with tf.control_dependencies([checked]):
        return tf.identity(encoded)


def _one_pixel() -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (1, 1)).save(buffer, "JPEG")
    return buffer.getvalue()


_ONE_PIXEL = _one_pixel()  # decoded instead of a PNG where a JPEG's header is read
