"""What happens to a colour. HSV of pure colours: red 0, yellow 60, green 120, blue 240 degrees."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.preprocess.augment.pictures import apply, difference, noise


def hsv(hue=0.0, saturation=1.0, value=1.0):
    numbers = {"hue_degrees": hue, "saturation_factor": saturation, "value_factor": value}
    return "hue_saturation_value", numbers


def light(brightness=1.0, contrast=1.0, gamma=1.0):
    return "brightness_contrast_gamma", {
        "brightness_factor": brightness,
        "contrast_factor": contrast,
        "gamma_exponent": gamma,
    }


def one_colour(*rgb):
    return np.full((4, 6, 3), rgb, np.uint8)


@pytest.mark.parametrize(
    ("before", "degrees", "after"),
    [
        ((255, 0, 0), 120, (0, 255, 0)),
        ((255, 0, 0), -120, (0, 0, 255)),
        ((0, 0, 255), 120, (255, 0, 0)),
        ((0, 255, 0), -60, (255, 255, 0)),
    ],
)
def test_hue_turns_from_red_over_green_to_blue(before, degrees, after):
    assert difference(apply(one_colour(*before), hsv(hue=degrees)), one_colour(*after)) <= 2


def test_red_stays_red_when_nothing_is_turned():
    """A swap of channels anywhere would make it blue. 2 levels: hue has steps of 2 degrees."""
    assert difference(apply(one_colour(200, 30, 10), hsv()), one_colour(200, 30, 10)) <= 2


def test_saturation_zero_leaves_the_value_as_grey():
    """Value is the largest channel."""
    assert (apply(one_colour(200, 30, 10), hsv(saturation=0.0)) == 200).all()


def test_value_factor_scales_all_channels():
    halved = apply(one_colour(200, 100, 40), hsv(value=0.5))
    assert difference(halved, one_colour(100, 50, 20)) <= 2


def test_value_clips_instead_of_wrapping():
    """200 * 2 = 400 is 255, not 144."""
    assert (apply(one_colour(200, 200, 200), hsv(value=2.0)) == 255).all()


@settings(max_examples=40)
@given(hue=st.floats(-180, 180), saturation=st.floats(0, 10), level=st.integers(0, 255))
def test_grey_stays_that_grey_whatever_hue_and_saturation_do(hue, saturation, level):
    picture = one_colour(level, level, level)
    np.testing.assert_array_equal(apply(picture, hsv(hue, saturation)), picture)


def test_brightness_multiplies_and_clips():
    """100 * 1.2 = 120; 250 * 1.2 = 300 is 255, not 44."""
    assert (apply(one_colour(100, 250, 0), light(brightness=1.2)) == (120, 255, 0)).all()


def test_contrast_is_about_mid_grey():
    """(v - 127.5) * 0.5 + 127.5 takes 27.5 + 100 to itself: 0 to 63.75, 255 to 191.25."""
    assert (apply(one_colour(0, 255, 127), light(contrast=0.5)) == (64, 191, 127)).all()


def test_contrast_clips_at_both_ends():
    """(30 - 127.5) * 2 + 127.5 = -67.5 and (225 - 127.5) * 2 + 127.5 = 322.5."""
    assert (apply(one_colour(30, 225, 30), light(contrast=2.0)) == (0, 255, 0)).all()


def test_gamma_above_one_darkens_the_middle_only():
    """255 * (v / 255) ** 2: 128 becomes 64.25; 0 and 255 stay."""
    assert (apply(one_colour(0, 128, 255), light(gamma=2.0)) == (0, 64, 255)).all()


def test_neighbouring_tables_do_what_they_do_in_turn():
    picture = noise(10, 10)
    first, second = light(brightness=0.7), light(contrast=1.5, gamma=0.8)
    in_turn = apply(apply(picture, first), second)
    np.testing.assert_array_equal(apply(picture, first, second), in_turn)


@settings(max_examples=60)
@given(b=st.floats(0, 10), c=st.floats(0, 10), g=st.floats(0.05, 20))
def test_a_lighter_level_never_becomes_darker_than_a_darker_one(b, c, g):
    """Each step is monotone, so a wrap-around of 8 bits would show as a fall."""
    ramp = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(1, 256, 3)
    after = apply(ramp, light(b, c, g))[0, :, 0].astype(int)
    assert (np.diff(after) >= 0).all()
