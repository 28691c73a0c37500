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


ANYWHERE = """
version: 1
operations:
  - cutout: {probability: 1, height: 5, width: 8, reference: 20, place: anywhere, count: 100}
"""


def holes_anywhere(height, width, draws):
    """[top, left, height, width] of 100 holes a draw."""
    rng, recipe = variant_generator(0, "", "", 1), Recipe.from_yaml(ANYWHERE)
    drawn = [recipe.draw(rng, height, width)[0] for _ in range(draws)]
    return np.array([each.numbers["holes_top_left_height_width_pixels"] for each in drawn])


def test_holes_centred_anywhere_are_clipped_at_the_edges():
    """Of 20x20 pixels, a hole of 5 rows around row c covers c - 2 to c + 2 (c from 0 to 19), one of
    8 columns around column c covers c - 4 to c + 3: what lies outside is cut off, nothing moves.
    """
    expected_rows = {(max(0, c - 2), min(20, c + 3)) for c in range(20)}
    expected_columns = {(max(0, c - 4), min(20, c + 4)) for c in range(20)}
    holes = holes_anywhere(20, 20, 20).reshape(-1, 4)
    assert {(top, top + high) for top, _, high, _ in holes} == expected_rows
    assert {(left, left + wide) for _, left, _, wide in holes} == expected_columns


def test_centres_of_holes_anywhere_are_equally_likely():
    """Each clipped extent of 20 rows belongs to one centre. 40,000 draws give 2,000 of each with a
    standard deviation of 44; 5 of them are exceeded once in 100,000 tries.
    """
    holes = holes_anywhere(20, 20, 400).reshape(-1, 4)
    for at in (0, 1):
        extents, counts = np.unique(holes[:, [at, at + 2]], axis=0, return_counts=True)
        assert len(extents) == 20
        assert np.abs(counts - 2000).max() < 5 * 44


def test_holes_anywhere_hide_every_pixel_and_a_corner_as_often_as_its_centres():
    """A corner is hidden by centres of the first 3 of 20 rows and of the first 5 (left) or 4
    (right) of 20 columns: (3 / 20) (5 / 20) = 3.75 % of holes, where the middle is by 5 x 8 of 400,
    10 %. Of 40,000 holes the standard deviations are 0.1 % and 0.15 %.
    """
    hidden = np.zeros((20, 20))
    for top, left, high, wide in holes_anywhere(20, 20, 400).reshape(-1, 4):
        hidden[top : top + high, left : left + wide] += 1 / 40_000
    assert hidden.min() > 0.02
    assert abs(hidden[0, 0] - 0.0375) < 0.005
    assert abs(hidden[-1, -1] - 0.15 * 4 / 20) < 0.005
    assert abs(hidden[10, 10] - 0.1) < 0.0075


def test_a_clipped_hole_has_the_pixels_of_its_part_inside():
    """Centred on the first pixel, 5x8 leaves rows 0 to 2 and columns 0 to 3."""
    picture = np.full((20, 20, 3), 200, np.uint8)
    numbers = {"holes_top_left_height_width_pixels": [[0, 0, 3, 4]], "fill": [0, 0, 0]}
    assert [0, 0, 3, 4] in holes_anywhere(20, 20, 20).reshape(-1, 4).tolist()
    holed = apply(picture, ("cutout", numbers))
    assert (holed[:3, :4] == 0).all()
    assert (holed == 0).all(axis=2).sum() == 12


@settings(max_examples=50)
@given(height=st.integers(1, 400), width=st.integers(1, 400))
def test_holes_anywhere_stay_within_pictures_of_any_size(height, width):
    """At least the centre itself is hidden, unless the hole is less than half a pixel."""
    for top, left, high, wide in holes_anywhere(height, width, 1)[0]:
        assert 0 <= top <= top + high <= height
        assert 0 <= left <= left + wide <= width
        assert (round(5 / 20 * height) > 0) == (high > 0)
        assert (round(8 / 20 * width) > 0) == (wide > 0)


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
