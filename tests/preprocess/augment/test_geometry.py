"""Where pixels go. Coordinates are [row, column], the centre of the first pixel at 0."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocess.augment.operations.elastic_distortion import smooth_fields
from tests.preprocess.augment.pictures import affine, apply, difference, gradient, noise

FLIP = ("horizontal_flip", {})


def test_flip_exchanges_left_and_right_exactly():
    picture = noise(5, 8)
    np.testing.assert_array_equal(apply(picture, FLIP), picture[:, ::-1])


def test_two_flips_give_the_picture_back_bit_for_bit():
    picture = noise(5, 8)
    np.testing.assert_array_equal(apply(picture, FLIP, FLIP), picture)


@pytest.mark.parametrize(("degrees", "turns"), [(90, 1), (180, 2), (-90, 3)])
def test_positive_rotation_is_counter_clockwise(degrees, turns):
    """np.rot90 turns counter-clockwise; right angles about the centre meet pixel centres."""
    picture = noise(9, 9)
    turned = apply(picture, affine(rotate_degrees=float(degrees)))
    assert difference(turned, np.rot90(picture, turns)) <= 1


def test_positive_shifts_go_right_and_down():
    """Whole pixels need no interpolation: pixel [0, 0] arrives at [2, 3]."""
    picture = noise(10, 10)
    moved = apply(picture, affine(shift_x_pixels=3.0, shift_y_pixels=2.0))
    np.testing.assert_array_equal(moved[2:, 3:], picture[:-2, :-3])


def test_scale_above_one_enlarges_about_the_centre():
    """A square of side 11 in the middle has side 22 afterwards: 4 times the area, +-1 a side."""
    picture = np.zeros((61, 61, 3), np.uint8)
    picture[25:36, 25:36] = 255
    area = (apply(picture, affine(scale_factor=2.0))[..., 0] > 127).sum()
    assert 21**2 <= area <= 23**2


def test_positive_shear_leans_to_the_right_at_the_top():
    """With tan 45 = 1 a row 20 above the centre moves 20 to the right, one below to the left."""
    picture = np.zeros((61, 61, 3), np.uint8)
    picture[:, 30] = 255
    leaning = apply(picture, affine(shear_x_degrees=45.0, border="constant"))
    assert leaning[10, :, 0].argmax() == 50
    assert leaning[50, :, 0].argmax() == 10


def test_positive_shear_y_lowers_the_right():
    """With tan 45 = 1 a column 20 right of the centre moves 20 down."""
    picture = np.zeros((61, 61, 3), np.uint8)
    picture[30] = 255
    sloping = apply(picture, affine(shear_y_degrees=45.0, border="constant"))
    assert sloping[:, 50, 0].argmax() == 50


def test_borders_reflect_replicate_or_fill():
    """Shifted right by 3, columns 0..2 come from columns -3..-1: mirrored at the centre of column
    0 they are 3, 2, 1; replicated they are 0, 0, 0.
    """
    picture = noise(6, 10)
    shift = {"shift_x_pixels": 3.0}
    np.testing.assert_array_equal(apply(picture, affine(**shift))[:, :3], picture[:, [3, 2, 1]])
    replicated = apply(picture, affine(**shift, border="replicate"))
    np.testing.assert_array_equal(replicated[:, :3], picture[:, [0, 0, 0]])
    filled = apply(picture, affine(**shift, border="constant", fill=[10, 20, 30]))
    assert (filled[:, :3] == [10, 20, 30]).all()


def test_reflection_leaves_no_black_anywhere():
    """Every level of the picture is at least 50, and interpolation never leaves the range."""
    picture = np.maximum(noise(40, 60), 50)
    warp = affine(rotate_degrees=33.0, scale_factor=0.4, shift_x_pixels=25.0)
    corners = {"corner_moves_pixels": [[9, 9], [-9, 9], [-9, -9], [9, -9]], "border": "reflect"}
    bend = {"amplitude_pixels": 6.0, "sigma_pixels": 8.0, "seed": 1, "border": "reflect"}
    for operation in (warp, ("perspective", corners), ("elastic_distortion", bend)):
        assert apply(picture, operation).min() >= 50


def test_crop_enlarges_the_rectangle_to_the_whole_picture():
    """The left top quarter of a gradient ends, at its right edge, where the middle was."""
    picture = gradient(100, 100)
    numbers = {"top_pixels": 0.0, "left_pixels": 0.0, "height_pixels": 50.0, "width_pixels": 50.0}
    cropped = apply(picture, ("random_crop", numbers))
    expected = cv2.resize(picture[:50, :50], (100, 100))
    # at the cut edges the warp still sees the neighbours outside the rectangle: one more level
    assert difference(cropped, expected) <= 2


def test_crop_of_everything_changes_nothing():
    numbers = {"top_pixels": 0.0, "left_pixels": 0.0, "height_pixels": 30.0, "width_pixels": 20.0}
    picture = noise(30, 20)
    np.testing.assert_array_equal(apply(picture, ("random_crop", numbers)), picture)


def test_perspective_takes_a_corner_where_it_was_sent():
    """The left top outline corner moves by (30, 20): that point then shows the first pixel, and
    what is further out is fill.
    """
    picture = np.full((101, 101, 3), 200, np.uint8)
    moves = {"corner_moves_pixels": [[30, 20], [0, 0], [0, 0], [0, 0]]}
    moved = apply(picture, ("perspective", {**moves, "border": "constant", "fill": [0, 0, 0]}))
    assert (moved[24, 34] == 200).all()
    assert (moved[17, 27] == 0).all()
    assert (moved[60:95, 60:95] == 200).all()


def test_grid_distortion_with_equal_factors_changes_nothing():
    picture = noise(30, 40)
    numbers = {"column_factors": [0.7] * 5, "row_factors": [2.0] * 5}
    np.testing.assert_array_equal(apply(picture, ("grid_distortion", numbers)), picture)


def test_grid_distortion_widens_the_cell_with_the_larger_factor():
    """Factors 3 and 1 on two columns of 100: the left half takes up columns 0 to 149."""
    picture = np.zeros((20, 200, 3), np.uint8)
    picture[:, :100] = 255
    numbers = {"column_factors": [3.0, 1.0], "row_factors": [1.0, 1.0]}
    wide = apply(picture, ("grid_distortion", numbers))
    assert abs(int((wide[0, :, 0] > 127).sum()) - 150) <= 1


def test_elastic_distortion_moves_by_its_amplitude():
    """A gradient of one level a pixel turns movement into levels; their root mean square is the
    amplitude, within the sampling error of a field of some hundred independent patches.
    """
    picture = np.zeros((240, 240, 3), np.uint8)
    picture[..., 0] = np.arange(240)
    numbers = {"amplitude_pixels": 4.0, "sigma_pixels": 10.0, "seed": 3, "border": "reflect"}
    bent = apply(picture, ("elastic_distortion", numbers))
    inner = (slice(30, 210), slice(30, 210), 0)
    moved = bent[inner].astype(float) - picture[inner]
    assert 3.2 < np.sqrt((moved**2).mean()) < 4.8


@pytest.mark.parametrize("sigma", [1.0, 2.7, 12.0])
def test_smooth_field_has_the_smoothness_asked_for(sigma):
    """White noise smoothed by a Gaussian of sigma has correlation exp(-d**2 / (4 sigma**2)) at
    distance d: exp(-1) = 0.37 at 2 sigma. Averaged over two fields of many patches.
    """
    fields = smooth_fields(5, 400, 500, sigma).astype(np.float64)
    step = round(2 * sigma)
    expected = np.exp(-(step**2) / (4 * sigma**2))
    assert abs(fields.std() - 1) < 0.1
    correlation = (fields[:, :, step:] * fields[:, :, :-step]).mean() / (fields**2).mean()
    assert abs(correlation - expected) < 0.1


def test_neighbouring_warps_are_one_resampling():
    """A turn there and back is the identity matrix, so that even noise comes back unblurred."""
    picture = noise(40, 40)
    back = apply(picture, affine(rotate_degrees=30.0), affine(rotate_degrees=-30.0))
    assert difference(back, picture) <= 1


def test_fused_operations_keep_the_order_of_the_recipe():
    """Flip then shift right is not shift right then flip: the second moves left."""
    picture = noise(8, 12)
    shift = affine(shift_x_pixels=2.0)
    np.testing.assert_array_equal(apply(picture, FLIP, shift)[:, 2:], picture[:, ::-1][:, :-2])
    np.testing.assert_array_equal(apply(picture, shift, FLIP)[:, :-2], picture[:, ::-1][:, 2:])


def test_distortion_after_a_warp_equals_the_two_in_turn():
    """On a smooth picture one resampling or two differ by rounding only, away from the border."""
    picture = gradient(80, 80)
    turn = affine(rotate_degrees=20.0, shift_x_pixels=3.0)
    corners = {"corner_moves_pixels": [[4, 2], [-3, 1], [2, 2], [0, -4]], "border": "reflect"}
    grid = ("grid_distortion", {"column_factors": [1.3, 0.8, 1], "row_factors": [0.9, 1.2, 1]})
    for first in (turn, ("perspective", corners)):
        fused = apply(picture, first, grid)
        in_turn = apply(apply(picture, first), grid)
        assert difference(fused[25:55, 25:55], in_turn[25:55, 25:55]) <= 3


def test_warps_with_different_borders_are_not_mixed():
    """Shifted out and back: the replicated second warp must see the fill of the first."""
    picture = noise(8, 12)
    out = affine(shift_x_pixels=12.0, border="constant", fill=[1, 2, 3])
    back = affine(shift_x_pixels=-12.0, border="replicate")
    assert (apply(picture, out, back) == [1, 2, 3]).all()


@settings(max_examples=50)
@given(
    degrees=st.floats(-180, 180),
    scale=st.floats(0.2, 5),
    shear=st.floats(-40, 40),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
)
def test_a_single_colour_stays_that_colour_under_any_warp(degrees, scale, shear, height, width):
    """Nothing but the picture is ever shown when borders reflect."""
    picture = np.full((height, width, 3), (10, 120, 240), np.uint8)
    warp = affine(rotate_degrees=degrees, scale_factor=scale, shear_x_degrees=shear)
    np.testing.assert_array_equal(apply(picture, warp, FLIP), picture)
