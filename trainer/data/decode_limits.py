"""The limits of record_limits.py in a graph, checked before TensorFlow decodes a picture.

TensorFlow itself decodes up to 178 million pixels, and a JPEG with any number of scans. Used where
records do not pass through Python (a table, an exported model that anybody may send pictures to).
It takes a fifth of the time of decoding 112x112 pixels, as each operation costs about a
microsecond: there are as few of them as possible.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from preprocess.pictures.limits import MAX_PIXELS, MAX_SCANNED_PIXELS, MAX_SCANS

TOO_LARGE = "more pixels or scans than are decoded, or neither JPEG nor PNG"

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_SCAN = b"\xff\xda"
_PNG_SIZE, _PNG_SIZE_BYTES = 16, 8  # offset and length of width and height, big-endian
# The most pixels by the number of scans, up to one scan too many.
_MOST_PIXELS = np.array(
    [
        MAX_PIXELS,
        *(min(MAX_PIXELS, MAX_SCANNED_PIXELS // n) for n in range(1, MAX_SCANS + 1)),
        -1,
    ],
    np.int64,
)


def within_limits(encoded: tf.Tensor) -> tf.Tensor:
    """A JPEG or PNG file, string [], unchanged; InvalidArgumentError with TOO_LARGE if it exceeds
    the limits. Damaged files are left to the decoder.

    Scan markers in profiles and thumbnails count too; there are few. Among a JPEG's pixels these
    two bytes only occur where a scan begins.
    """
    jpeg = tf.strings.substr(encoded, 0, len(_JPEG)) == _JPEG
    right = tf.cond(jpeg, lambda: _jpeg_within(encoded), lambda: _png_within(encoded))
    # Not tf.Assert, which wraps it in a condition.
    checked = tf.raw_ops.Assert(condition=right, data=[TOO_LARGE])
    with tf.control_dependencies([checked]):
        return tf.identity(encoded)


def _jpeg_within(encoded: tf.Tensor) -> tf.Tensor:
    pixels = tf.reduce_prod(tf.io.extract_jpeg_shape(encoded, tf.int64)[:2])
    # Not tf.strings.split, which adds operations for a ragged tensor.
    parts = tf.raw_ops.StringSplitV2(input=tf.expand_dims(encoded, 0), sep=_SCAN, maxsplit=-1)
    scans = tf.minimum(tf.size(parts.values) - 1, MAX_SCANS + 1)
    return pixels <= tf.gather(_MOST_PIXELS, scans)


def _png_within(encoded: tf.Tensor) -> tf.Tensor:
    padded = tf.strings.join([encoded, bytes(_PNG_SIZE + _PNG_SIZE_BYTES)])
    size = tf.strings.substr(padded, _PNG_SIZE, _PNG_SIZE_BYTES)
    sides = tf.cast(tf.io.decode_raw(size, tf.int32, little_endian=False), tf.int64)
    png = tf.strings.substr(padded, 0, len(_PNG)) == _PNG
    return png & (tf.reduce_prod(sides) <= MAX_PIXELS)
