"""Hue, saturation, grey and erasing against NumPy in float64, and colorsys."""

import colorsys

import numpy as np
import tensorflow as tf

from trainer.models import randomness
from trainer.models.on_device.erasing import RandomErasing
from trainer.models.on_device.grey import RandomGrey
from trainer.models.on_device.hue import RandomHue
from trainer.models.on_device.saturation import RandomSaturation

RNG = np.random.default_rng(0)
COUNT = 64
PICTURES = RNG.integers(0, 256, (COUNT, 9, 7, 3)).astype("float32")
LUMA = PICTURES.astype(float) @ [0.299, 0.587, 0.114]


def keyed():
    return randomness.keyed(1, tf.constant(7, tf.int64), list(range(COUNT)), COUNT)


def drawn(shape=()):
    with keyed():
        return randomness.uniform("a", shape).numpy().astype(float)


def trained(layer):
    with keyed():
        return layer(PICTURES, training=True).numpy()


def test_hue_turns_the_colour_circle():
    found = trained(RandomHue(0.3, name="a"))
    turns = 0.3 * (2 * drawn() - 1)
    for picture, turn, got in zip(PICTURES[:12] / 255, turns, found, strict=False):
        for pixel, other in zip(picture.reshape(-1, 3), got.reshape(-1, 3), strict=True):
            hue, saturation, value = colorsys.rgb_to_hsv(*pixel.astype(float))
            expected = colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)
            np.testing.assert_allclose(other, 255 * np.array(expected), atol=0.02)


def test_a_third_of_a_turn_makes_red_green_and_grey_has_no_hue():
    class Third(RandomHue):
        def draw(self, inputs, shape=(), low=0.0, high=1.0):
            return tf.fill([len(inputs), *shape], 1 / 3)

    red = np.array([[[[200.0, 0, 0], [90, 90, 90], [0, 0, 0]]]], "float32")
    out = Third(0.5, name="a")(red, training=True).numpy()
    np.testing.assert_allclose(out, [[[[0, 200, 0], [90, 90, 90], [0, 0, 0]]]], atol=1e-3)


def test_saturation_scales_the_distance_from_grey():
    found = trained(RandomSaturation(0.8, name="a"))
    scale = (1 + 0.8 * (2 * drawn() - 1))[:, None, None, None]
    expected = LUMA[..., None] + scale * (PICTURES - LUMA[..., None])
    np.testing.assert_allclose(found, np.clip(expected, 0, 255), atol=1e-3)
    assert found.min() == 0 and found.max() == 255


def test_the_share_asked_for_becomes_grey():
    found = trained(RandomGrey(0.4, name="a"))
    chosen = drawn() < 0.4
    assert 0 < chosen.sum() < COUNT
    expected = np.where(chosen[:, None, None, None], LUMA[..., None], PICTURES)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_a_rectangle_of_a_share_of_the_pictures_is_erased():
    """By a loop over them, in float64; none of these sizes is on the edge of rounding."""
    found = trained(RandomErasing(0.6, (0.05, 0.5), 0.3, name="a"))
    height, width = PICTURES.shape[1:3]
    erased = 0
    for picture, got, numbers in zip(PICTURES, found, drawn((8,)), strict=True):
        chosen, area, shape, top, left, *colour = numbers
        expected = picture.copy()
        if chosen < 0.6:
            erased += 1
            area = (0.05 + 0.45 * area) * height * width
            ratio = 0.3 ** (1 - 2 * shape)
            rows, columns = (
                min(max(round(side), 1), most)
                for side, most in (((area * ratio) ** 0.5, height), ((area / ratio) ** 0.5, width))
            )
            top, left = int(top * (height - rows + 1)), int(left * (width - columns + 1))
            expected[top : top + rows, left : left + columns] = 255 * np.array(colour)
        np.testing.assert_allclose(got, expected, atol=1e-3)
    assert abs(erased - 0.6 * COUNT) < 4 * (0.24 * COUNT) ** 0.5


def test_erased_rectangles_have_the_sizes_and_shapes_asked_for():
    black = np.zeros((COUNT, 60, 60, 1), "float32")
    with keyed():
        found = RandomErasing(1.0, (0.1, 0.2), 0.5, name="a")(black, training=True).numpy()
    rows, columns = (found.any((axis, 3)).sum(1) for axis in (2, 1))
    # Each side is rounded to a pixel, of at least sqrt(0.1 * 3600 * 0.5) = 13.
    share, ratio = rows * columns / 3600, rows / columns
    assert share.min() > 0.1 * 0.93 and share.max() < 0.2 * 1.07
    assert 0.5 * 0.93 < ratio.min() < 0.7 and 1.4 < ratio.max() < 2 * 1.07
