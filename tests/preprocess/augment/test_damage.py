"""What is lost to cutout, blur, noise and JPEG, and what must not be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocess.augment import Recipe, variant_generator
from preprocess.augment.operations.motion_blur import line_kernel
from tests.preprocess.augment.pictures import apply, difference, gradient, noise

CUTOUT = """
version: 1
operations:
  - cutout: {probability: 1, height: 150, width: 200, reference: 384, count: 3, fill: [1, 2, 3]}
"""


def test_cutout_fills_its_rectangle_and_nothing_else():
    picture = np.full((20, 30, 3), 200, np.uint8)
    numbers = {"holes_top_left_height_width_pixels": [[2, 5, 4, 7]], "fill": [1, 2, 3]}
    holed = apply(picture, ("cutout", numbers))
    assert (holed[2:6, 5:12] == (1, 2, 3)).all()
    assert (holed == 200).all(axis=2).sum() == 20 * 30 - 4 * 7


def test_cutout_leaves_the_callers_picture_alone():
    picture = noise(20, 30)
    before = picture.copy()
    numbers = {"holes_top_left_height_width_pixels": [[0, 0, 9, 9]], "fill": [0, 0, 0]}
    apply(picture, ("cutout", numbers))
    np.testing.assert_array_equal(picture, before)


@settings(max_examples=50)
@given(height=st.integers(1, 400), width=st.integers(1, 400), variant=st.integers(0, 1000))
def test_holes_lie_inside_and_scale_with_the_picture(height, width, variant):
    """150x200 of 384x384 is 150/384 of the height and 200/384 of the width, rounded."""
    rng = variant_generator(0, "", "", variant)
    (drawn,) = Recipe.from_yaml(CUTOUT).draw(rng, height, width)
    holes = drawn.numbers["holes_top_left_height_width_pixels"]
    assert len(holes) == 3
    for top, left, high, wide in holes:
        assert (high, wide) == (round(150 / 384 * height), round(200 / 384 * width))
        assert 0 <= top <= height - high
        assert 0 <= left <= width - wide


def test_gaussian_blur_spreads_a_point_by_its_sigma():
    """The variance of where the light of a point goes is sigma squared, along each axis; 8-bit
    weights lose a little of the tails.
    """
    picture = np.zeros((41, 41, 3), np.uint8)
    picture[20, 20] = 255
    blurred = apply(picture, ("gaussian_blur", {"sigma_pixels": 2.0}))[..., 1].astype(float)
    place = np.arange(41) - 20
    variance = (blurred.sum(axis=0) * place**2).sum() / blurred.sum()
    assert 3.0 < variance < 4.6


def test_blur_reflects_at_the_border():
    """One colour stays that colour up to the last pixel."""
    picture = np.full((9, 9, 3), (10, 100, 200), np.uint8)
    motion = ("motion_blur", {"length_pixels": 7.0, "angle_degrees": 30.0})
    for operation in (("gaussian_blur", {"sigma_pixels": 3.0}), motion):
        assert difference(apply(picture, operation), picture) <= 1


@pytest.mark.parametrize(
    ("length", "angle", "expected"),
    [
        (1, 37, [[1]]),
        (3, 0, [[0, 0, 0], [1, 1, 1], [0, 0, 0]]),
        (3, 90, [[0, 1, 0], [0, 1, 0], [0, 1, 0]]),
        (1 + 2 * 2**0.5, 45, [[0, 0, 1], [0, 1, 0], [1, 0, 0]]),
        (1 + 2 * 2**0.5, -45, [[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
        (2, 0, [[0, 0, 0], [0.5, 1, 0.5], [0, 0, 0]]),
    ],
)
def test_motion_runs_along_its_line(length, angle, expected):
    """A line of n pixels lies n - 1 from end to end; 45 degrees rises to the right; length 2
    reaches half a pixel to either side of the middle one.
    """
    kernel = np.array(expected, np.float64)
    np.testing.assert_allclose(line_kernel(length, angle), kernel / kernel.sum(), atol=1e-6)


@settings(max_examples=60)
@given(length=st.floats(1, 101), angle=st.floats(-180, 180))
def test_motion_neither_brightens_nor_moves(length, angle):
    """The weights are a distribution whose mean is the middle."""
    kernel = line_kernel(length, angle).astype(np.float64)
    place = np.arange(len(kernel)) - len(kernel) // 2
    assert kernel.min() >= 0
    assert abs(kernel.sum() - 1) < 1e-5
    assert abs((kernel.sum(axis=0) * place).sum()) < 1e-3
    assert abs((kernel.sum(axis=1) * place).sum()) < 1e-3


def noise_of(sigma, level=128, seed=7):
    picture = np.full((200, 200, 3), level, np.uint8)
    noisy = apply(picture, ("gaussian_noise", {"sigma_levels": sigma, "seed": seed}))
    return noisy.astype(float) - level


def test_noise_has_the_strength_asked_for_and_no_bias():
    """120,000 samples: the standard error of the mean is 0.03, of the deviation 0.02; rounding
    to whole levels adds 1/12 to the variance.
    """
    added = noise_of(10.0)
    assert abs(added.mean()) < 0.15
    assert abs(added.std() - 10) < 0.15


def test_noise_is_bell_shaped():
    """A Gaussian has 68.3 % within one sigma and 95.4 % within two; half a level of rounding at
    each end moves them by less than 1.5 % here.
    """
    added = np.abs(noise_of(20.0))
    assert abs((added < 20).mean() - 0.683) < 0.015
    assert abs((added < 40).mean() - 0.954) < 0.015


def test_noise_differs_between_channels_and_seeds():
    """Independent samples correlate by about 1 / sqrt(40,000) = 0.005."""
    added = noise_of(10.0)
    between = np.corrcoef(added[..., 0].ravel(), added[..., 1].ravel())[0, 1]
    assert abs(between) < 0.03
    assert not np.array_equal(added, noise_of(10.0, seed=8))


@pytest.mark.parametrize("level", [0, 255])
def test_noise_saturates_instead_of_wrapping(level):
    """Noise of sigma 40 reaches 2.9 sigma = 116 at most: nothing may end on the other side."""
    assert np.abs(noise_of(40.0, level)).max() <= 120


def test_jpeg_keeps_colours_and_loses_more_at_lower_quality():
    """A swap of red and blue would be off by up to 150 levels."""
    picture = gradient(64, 64)
    assert difference(apply(picture, ("jpeg_quality", {"quality": 95})), picture) < 25
    errors = [
        np.abs(apply(noise(64, 64), ("jpeg_quality", {"quality": q})) - 0.0 - noise(64, 64)).mean()
        for q in (95, 50, 10)
    ]
    assert errors == sorted(errors)
