"""Resizes pictures of any size to the shape of a dataset's pictures, in the graph.

The rules are those of the build (area averaging along an axis that shrinks, cubic interpolation
along one that grows; stretch, pad or crop). The build uses OpenCV; training and serving do not
depend on the build's packages. The two agree up to rounding, one grey level.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from preprocess.shell.json_text import JsonObject
from trainer.config.keys import Config
from trainer.data.decoding import stretch

_CUBIC = -0.75  # the free parameter of the cubic kernel, as in OpenCV


class PictureShape(NamedTuple):
    """How the pictures of a dataset were brought to one shape."""

    height: int
    width: int
    channels: int
    resize_mode: str  # "stretch", "pad" or "crop"
    mixed: bool  # stored in several sizes; the reader stretches them to this one


def side_of_mixed(config: Config) -> int:
    """The side to which the reader stretches pictures if a dataset has several sizes."""
    enlarged = config.augment.resize_to if config.augment.enabled else 0
    return int(enlarged or config.image_size)


def picture_shape(config: Config, dataset: JsonObject) -> PictureShape:
    """The shape for a run's configuration and the dataset section of its config.json."""
    channels = config.model.channels
    if dataset["height"] is None or dataset["width"] is None:
        side = side_of_mixed(config)
        return PictureShape(side, side, channels, "stretch", mixed=True)
    return PictureShape(
        dataset["height"], dataset["width"], channels, dataset["resize_mode"], mixed=False
    )


def shaped(pixels: tf.Tensor, shape: PictureShape) -> tf.Tensor:
    """uint8 [height, width, channels] of pixels uint8 [H, W, channels] of any size."""
    if shape.mixed:
        pixels = stretch(pixels, shape.height)
    else:
        pixels = _resized(pixels, shape.height, shape.width, shape.resize_mode)
    return tf.ensure_shape(pixels, [shape.height, shape.width, shape.channels])


def _resized(pixels: tf.Tensor, height: int, width: int, mode: str) -> tf.Tensor:
    size = tf.shape(pixels)[:2]
    wanted = tf.constant([height, width])
    if mode == "crop":
        side = tf.reduce_min(size)
        top, left = tf.unstack((size - side) // 2)
        pixels = pixels[top : top + side, left : left + side]
    if mode == "pad":
        factor = tf.reduce_min(tf.cast(wanted, tf.float64) / tf.cast(size, tf.float64))
        inner = tf.cast(tf.round(tf.cast(size, tf.float64) * factor), tf.int32)
        inner = tf.clip_by_value(inner, 1, wanted)
        top, left = tf.unstack((wanted - inner) // 2)
        return tf.image.pad_to_bounding_box(_scaled(pixels, inner), top, left, height, width)
    return _scaled(pixels, wanted)


def _scaled(pixels: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
    """In two steps, each for one axis: first the one that shrinks, then the one that grows."""
    size = tf.shape(pixels)[:2]
    shrunk = tf.minimum(size, wanted)
    pixels = tf.cond(
        tf.reduce_all(shrunk == size),
        lambda: pixels,
        lambda: _bytes(tf.image.resize(pixels, shrunk, method="area")),
    )
    return tf.cond(
        tf.reduce_all(shrunk == wanted), lambda: pixels, lambda: _bytes(_grown(pixels, wanted))
    )


def _grown(pixels: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
    size = tf.shape(pixels)
    rows, columns = _cubic(size[0], wanted[0]), _cubic(size[1], wanted[1])
    return tf.einsum("ph,hwc,qw->pqc", rows, tf.cast(pixels, tf.float32), columns)


def _cubic(old: tf.Tensor, new: tf.Tensor) -> tf.Tensor:
    """float32 [new, old]: the weight of each old pixel in each new one; borders are repeated.

    Keys, "Cubic convolution interpolation for digital image processing" (1981), with the
    parameter above.
    """
    a = _CUBIC
    scale = tf.cast(old, tf.float64) / tf.cast(new, tf.float64)
    place = (tf.range(tf.cast(new, tf.float64), dtype=tf.float64) + 0.5) * scale - 0.5
    below = tf.floor(place)
    t = place - below
    taps = (
        ((a * (t + 1) - 5 * a) * (t + 1) + 8 * a) * (t + 1) - 4 * a,
        ((a + 2) * t - (a + 3)) * t * t + 1,
        ((a + 2) * (1 - t) - (a + 3)) * (1 - t) * (1 - t) + 1,
    )
    weights = tf.zeros([new, old])
    for offset, tap in zip((-1, 0, 1, 2), (*taps, 1 - sum(taps)), strict=True):
        at = tf.clip_by_value(tf.cast(below, tf.int32) + offset, 0, old - 1)
        weights += tf.one_hot(at, old) * tf.cast(tap, tf.float32)[:, tf.newaxis]
    return weights


def _bytes(values: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.round(tf.clip_by_value(values, 0, 255)), tf.uint8)
