"""Recipes: what they draw, that the same key gives the same bytes, how they are written."""

import json

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocess.augment import SHIPPED_RECIPES, Drawn, Recipe, load_recipe, variant_generator
from preprocess.augment.recipe import OPERATIONS
from preprocess.augment.settings import kinds
from tests.preprocess.augment.pictures import noise

EVERYTHING = """
version: 1
description: every operation, all ranges open
operations:
  - horizontal_flip: {probability: 1}
  - affine: {probability: 1, rotate_degrees: [-30, 30], shift_x: [-0.1, 0.1], shift_y: 0.05,
             scale: [0.8, 1.25], shear_x_degrees: [-9, 9], shear_y_degrees: 2}
  - random_crop: {probability: 1, side: [0.5, 1], aspect: [0.75, 1.33]}
  - perspective: {probability: 1, strength: [0, 0.1], border: replicate}
  - grid_distortion: {probability: 1, cells: [2, 6], stretch: [0.5, 2]}
  - elastic_distortion: {probability: 1, amplitude: [0, 0.03], sigma: [0.05, 0.2]}
  - hue_saturation_value: {probability: 1, hue_degrees: [-9, 9], saturation: [0.5, 2]}
  - brightness_contrast_gamma: {probability: 1, brightness: [0.8, 1.2], gamma: [0.5, 2]}
  - gaussian_blur: {probability: 1, sigma_pixels: [0.3, 2]}
  - motion_blur: {probability: 1, length_pixels: [1, 9]}
  - gaussian_noise: {probability: 1, sigma_levels: [0, 9]}
  - jpeg_quality: {probability: 1, quality: [30, 90]}
  - cutout: {probability: 1, count: [1, 4], height: [0, 0.5], width: [0, 1], fill: [9, 8, 7]}
"""
# Those two: test_albumentations.py and test_python.py.
OWN = sorted(set(OPERATIONS) - {"albumentations", "python"})
SIZES = [(1, 1), (3, 200), (200, 3), (1, 64), (7, 5), (33, 48)]


def variant(recipe, image, image_id="leaf", number=1):
    rng = variant_generator(0, recipe.digest, image_id, number)
    return recipe.apply(image, recipe.draw(rng, *image.shape[:2]))


def only(entry):
    return Recipe.from_yaml(f"version: 1\noperations: [{entry}]")


def test_everything_is_every_operation():
    assert {type(each).name for each in Recipe.from_yaml(EVERYTHING).operations} == set(OWN)


@pytest.mark.parametrize("size", SIZES)
def test_every_operation_keeps_size_and_type_even_of_tiny_pictures(size):
    everything = Recipe.from_yaml(EVERYTHING)
    picture = noise(*size)
    before = picture.copy()
    for operation in (everything, *(Recipe((each,)) for each in everything.operations)):
        for number in range(4):
            result = variant(operation, picture, number=number)
            assert (result.shape, result.dtype) == (picture.shape, np.uint8)
    np.testing.assert_array_equal(picture, before)


@pytest.mark.parametrize("operation", Recipe.from_yaml(EVERYTHING).operations, ids=lambda o: o.name)
def test_no_operation_swaps_the_colours(operation):
    """The picture has red 150 and blue 50 throughout, the holes red 9 and blue 7, and hue turns by
    9 degrees of the 240 from red to blue: the mean red stays above the mean blue.
    """
    picture = np.full((64, 64, 3), (150, 100, 50), np.uint8)
    for number in range(10):
        red, _, blue = variant(Recipe((operation,)), picture, number=number).mean(axis=(0, 1))
        assert red > blue


def test_the_same_key_gives_the_same_bytes_in_any_order():
    recipe = Recipe.from_yaml(EVERYTHING)
    picture = noise(40, 30)
    keys = [(name, number) for name in ("a", "b") for number in range(4)]
    forwards = {key: variant(recipe, picture, *key).tobytes() for key in keys}
    backwards = {key: variant(recipe, picture, *key).tobytes() for key in reversed(keys)}
    assert forwards == backwards
    assert len(set(forwards.values())) == len(keys)


def test_every_part_of_the_key_changes_the_numbers():
    """128-bit keys from a hash: equal first draws would be a collision of 53 bits."""
    keys = [
        (0, "r", "i", 1),
        (1, "r", "i", 1),
        (0, "s", "i", 1),
        (0, "r", "j", 1),
        (0, "r", "i", 2),
    ]
    keys += [(-1, "r", "i", 1), (0, "ri", "", 1), (0, "r", "i1", 1), (0, "r", "\udcff", 1)]
    assert len({variant_generator(*key).random() for key in keys}) == len(keys)


def test_drawn_numbers_survive_json_and_give_the_same_picture():
    """What `explain` prints is all there is to know."""
    recipe = Recipe.from_yaml(EVERYTHING)
    picture = noise(40, 30)
    drawn = recipe.draw(variant_generator(0, recipe.digest, "a", 1), 40, 30)
    told = json.loads(json.dumps([[each.operation, each.numbers] for each in drawn]))
    again = recipe.apply(picture, [Drawn(name, numbers) for name, numbers in told])
    np.testing.assert_array_equal(again, recipe.apply(picture, drawn))


def test_probability_zero_never_fires_and_one_always_does():
    rng = np.random.default_rng(0)
    never = only("horizontal_flip: {probability: 0}")
    always = only("horizontal_flip: {probability: 1}")
    assert not any(never.draw(rng, 4, 4) for _ in range(500))
    assert all(always.draw(rng, 4, 4) for _ in range(500))


def test_an_operation_fires_as_often_as_its_probability_says():
    """4,000 draws at 0.3: the standard deviation of the share is 0.007."""
    recipe = only("horizontal_flip: {probability: 0.3}")
    rng = np.random.default_rng(0)
    share = sum(bool(recipe.draw(rng, 4, 4)) for _ in range(4000)) / 4000
    assert abs(share - 0.3) < 0.03


def test_nothing_drawn_is_the_picture_itself():
    picture = noise(4, 4)
    assert Recipe(()).apply(picture, []) is picture


@settings(max_examples=60)
@given(
    ends=st.tuples(st.floats(-180, 180), st.floats(-180, 180)).map(sorted),
    shift=st.tuples(st.floats(-1, 1), st.floats(-1, 1)).map(sorted),
    height=st.integers(1, 500),
    width=st.integers(1, 500),
    seed=st.integers(0, 2**32),
)
def test_drawn_numbers_stay_in_their_ranges(ends, shift, height, width, seed):
    """Fractions of the side become pixels; 1e-9 for the rounding of the product."""
    entry = {"probability": 1, "rotate_degrees": ends, "shift_x": shift, "shift_y": shift[:]}
    recipe = Recipe.from_yaml(
        yaml.safe_dump({"version": 1, "operations": [{"affine": entry}]}), "made up"
    )
    (drawn,) = recipe.draw(np.random.default_rng(seed), height, width)
    low, high = shift
    assert ends[0] <= drawn.numbers["rotate_degrees"] <= ends[1]
    assert low * width - 1e-9 <= drawn.numbers["shift_x_pixels"] <= high * width + 1e-9
    assert low * height - 1e-9 <= drawn.numbers["shift_y_pixels"] <= high * height + 1e-9


@settings(max_examples=60)
@given(height=st.integers(1, 500), width=st.integers(1, 500), seed=st.integers(0, 2**32))
def test_drawn_crops_lie_inside_and_have_the_size_asked_for(height, width, seed):
    """A side of 0.5 to 0.8 and an aspect of 0.75 to 1.33 keep both sides below the picture's, so
    the area is side ** 2 of it: 0.25 to 0.64.
    """
    recipe = only("random_crop: {probability: 1, side: [0.5, 0.8], aspect: [0.75, 1.33]}")
    (drawn,) = recipe.draw(np.random.default_rng(seed), height, width)
    top, left, high, wide = drawn.numbers.values()
    assert 0 <= top <= height - high + 1e-9
    assert 0 <= left <= width - wide + 1e-9
    assert 0.25 - 1e-9 <= high * wide / (height * width) <= 0.64 + 1e-9


def test_integer_ranges_include_both_ends():
    recipe = only("jpeg_quality: {probability: 1, quality: [50, 52]}")
    rng = np.random.default_rng(0)
    assert {recipe.draw(rng, 4, 4)[0].numbers["quality"] for _ in range(100)} == {50, 51, 52}


@pytest.mark.parametrize("name", [*SHIPPED_RECIPES, "everything"])
def test_the_canonical_text_reads_back_as_the_same_recipe(name):
    recipe = Recipe.from_yaml(EVERYTHING) if name == "everything" else load_recipe(name)
    again = Recipe.from_yaml(recipe.yaml)
    assert again == recipe
    assert again.yaml == recipe.yaml
    assert again.digest == recipe.digest


@settings(max_examples=40)
@given(data=st.data(), name=st.sampled_from(OWN))
def test_any_settings_in_their_limits_are_read_and_written_back(data, name):
    cls = OPERATIONS[name]
    values = {}
    for key, kind in kinds(cls).items():
        if not hasattr(kind, "minimum"):
            continue
        number = st.integers if kind.integer else st.floats
        ends = [data.draw(number(kind.minimum, kind.maximum)) for _ in range(2)]
        values[key] = ends[0] if type(kind).__name__ == "NumberKind" else sorted(ends)
    text = yaml.safe_dump({"version": 1, "operations": [{name: values}]})
    recipe = Recipe.from_yaml(text)
    assert Recipe.from_yaml(recipe.yaml) == recipe


def test_the_description_is_kept_but_does_not_change_the_digest():
    plain = Recipe.from_yaml("version: 1\noperations: []\n")
    described = Recipe.from_yaml("version: 1\ndescription: ours\noperations: []\n")
    assert described.digest == plain.digest
    assert Recipe.from_yaml(described.yaml).description == "ours"
    assert Recipe.from_yaml(described.deciding) == plain


def test_comments_layout_and_whole_numbers_do_not_change_the_digest():
    spelled = only("affine: {probability: 1, scale: [1, 2]}")
    other = Recipe.from_yaml(
        "# the same\nversion: 1\noperations:\n- affine:\n    scale: [1.0, 2.00]\n"
        "    probability: 1.0\n"
    )
    assert other.digest == spelled.digest
    assert other.digest != only("affine: {probability: 1, scale: [1, 2.5]}").digest


def test_settings_that_came_later_leave_the_digests_of_older_recipes():
    """The digest of a recipe without `place`, from before there was one: it keys every number
    drawn, so that variants added to an older dataset are drawn as the rest.
    """
    before = only("cutout: {probability: 0.5, height: 0.25, width: 0.5}")
    assert before.digest == "3d76f592f0ff35c0545b63fb7b0e5fd9af4c8d09f8db27818f4503a9ff9cfe34"
    inside = only("cutout: {probability: 0.5, height: 0.25, width: 0.5, place: inside}")
    anywhere = only("cutout: {probability: 0.5, height: 0.25, width: 0.5, place: anywhere}")
    assert inside == before
    assert inside.digest == before.digest != anywhere.digest
    assert Recipe.from_yaml(anywhere.yaml) == anywhere


def test_photos_is_the_list_of_the_class_folder_course():
    """Three cutouts of 150x200, 100x150 and 80x100 at 384 with p 0.5, centred anywhere, a flip,
    shift-scale-rotate with p 0.7, and hue-saturation-value always.
    """
    recipe = load_recipe("photos")
    by_name = {type(each).name: each for each in recipe.operations}
    assert set(by_name) == {"horizontal_flip", "affine", "hue_saturation_value", "cutout"}
    assert by_name["affine"].probability == 0.7
    assert by_name["hue_saturation_value"].probability == 1
    cutouts = [each for each in recipe.operations if type(each).name == "cutout"]
    assert [(each.height.low, each.width.low) for each in cutouts] == [
        (150, 200),
        (100, 150),
        (80, 100),
    ]
    drawn = {(each.probability, each.reference, each.place) for each in cutouts}
    assert drawn == {(0.5, 384, "anywhere")}


def test_photos_light_hides_nothing_and_keeps_the_colours():
    """A flip, turns of 10 degrees, a shear of 0.2, brightness 0.8 to 1.2, the nearest border."""
    recipe = load_recipe("photos_light")
    flip, affine, light = recipe.operations
    assert (type(flip).name, flip.probability) == ("horizontal_flip", 0.5)
    assert (affine.rotate_degrees.low, affine.rotate_degrees.high) == (-10, 10)
    assert (affine.shear_x_degrees.low, affine.shear_x_degrees.high) == (-0.2, 0.2)
    assert (affine.border, affine.probability) == ("replicate", 1)
    assert (light.brightness.low, light.brightness.high, light.probability) == (0.8, 1.2, 1)


def test_faces_never_turns_a_face_upside_down_or_hides_much_of_it():
    """Two holes of at most 0.14 x 0.14 hide at most 4 % of the face."""
    recipe = load_recipe("faces")
    by_name = {type(each).name: each for each in recipe.operations}
    affine, cutout = by_name["affine"], by_name["cutout"]
    assert max(map(abs, affine.rotate_degrees)) <= 10
    assert (affine.shear_x_degrees, affine.shear_y_degrees) == ((0, 0), (0, 0))
    assert cutout.count.high * cutout.height.high * cutout.width.high < 0.04
    assert not {"perspective", "elastic_distortion", "grid_distortion"} & set(by_name)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((1, 40_000, 3), np.uint8),
    ],
)
def test_what_is_no_rgb_picture_is_refused(image):
    with pytest.raises(ValueError, match="needs"):
        Recipe(()).apply(image, [])
