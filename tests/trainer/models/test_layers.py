import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocess.shell.errors import ConfigError
from tests.trainer.stacks import needs_addons
from trainer.compat import addons
from trainer.config.learning_sections import AugmentConfig
from trainer.models import randomness
from trainer.models.build_augmentation import build_augmentation
from trainer.models.layers import KeyedDropout, L2Normalize, Scale
from trainer.models.layers.warp import Warps
from trainer.models.on_device import (
    brightness,
    contrast,
    crop,
    cutout,
    erasing,
    flip,
    grey,
    hue,
    rotation,
    saturation,
    shear,
    shift,
    zoom,
)

RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 256, (6, 12, 10, 3)).astype("float32")


def everything(**changes):
    """An `augment` section that asks for all layers."""
    keys = {
        **dataclasses.asdict(AugmentConfig()),
        "enabled": True,
        "resize_to": 16,
        "crop": 12,
        "flip": True,
        "rotation": 0.1,
        "cutout": 4,
        "cutout_implementation": "vectorised",
        "brightness": 0.2,
        "contrast": 0.2,
        "layers": (),
    }
    return SimpleNamespace(**{**keys, **changes})


RANDOM_LAYERS = {
    "flip": lambda: flip.RandomFlip(name="a"),
    "crop": lambda: crop.RandomCrop(7, name="a"),
    "rotation": lambda: rotation.RandomRotation(0.2, name="a"),
    "cutout": lambda: cutout.Cutout((4, 6), 9.0, name="a"),
    "addons": lambda: cutout.TfaCutout((4, 6), 9.0, name="a"),
    "brightness": lambda: brightness.RandomBrightness(0.3, name="a"),
    "contrast": lambda: contrast.RandomContrast(0.3, name="a"),
    "hue": lambda: hue.RandomHue(0.3, name="a"),
    "saturation": lambda: saturation.RandomSaturation(0.3, name="a"),
    "grey": lambda: grey.RandomGrey(0.4, name="a"),
    "erasing": lambda: erasing.RandomErasing(0.7, (0.1, 0.4), 0.3, name="a"),
    "shift": lambda: shift.RandomShift(0.3, name="a"),
    "zoom": lambda: zoom.RandomZoom(0.3, name="a"),
    "shear": lambda: shear.RandomShear(20.0, name="a"),
    "warps": lambda: Warps([zoom.RandomZoom(0.3, name="a"), shear.RandomShear(20.0, name="b")]),
    "dropout": lambda: KeyedDropout(0.4, name="a"),
    "all": lambda: build_augmentation(everything()),
}
ADDONS = {"addons": needs_addons}
each_random_layer = pytest.mark.parametrize(
    "build",
    [
        pytest.param(build, id=name, marks=ADDONS.get(name, []))
        for name, build in RANDOM_LAYERS.items()
    ],
)


def train(layer, pictures, rows=None, global_batch=6, step=0):
    rows = list(range(len(pictures))) if rows is None else rows
    with randomness.keyed(1, tf.constant(step, tf.int64), tf.constant(rows), global_batch):
        return layer(pictures, training=True).numpy()


@each_random_layer
def test_training_changes_pictures_each_step_anew_and_the_same_way_again(build):
    layer = build()
    steps = [train(layer, PICTURES, step=step) for step in range(3)]
    assert (steps[0] != steps[1]).any()
    assert (steps[1] != steps[2]).any()
    np.testing.assert_array_equal(train(build(), PICTURES, step=1), steps[1])
    # Rows differ from each other: one picture six times does not come out six times the same.
    same = train(layer, np.repeat(PICTURES[:1], 6, axis=0))
    assert (same != same[:1]).any()


@each_random_layer
def test_two_replicas_draw_what_one_draws(build, replicas):
    """Six rows on one replica, then three on each of two, by MirroredStrategy."""
    expected = train(build(), PICTURES)
    with replicas.scope():
        layer = build()

    @tf.function
    def both():
        def on_replica():
            context = tf.distribute.get_replica_context()
            rows = tf.range(3) + 3 * context.replica_id_in_sync_group
            with randomness.keyed(1, tf.constant(0, tf.int64), rows, 6):
                return layer(tf.gather(PICTURES, rows), training=True)

        return replicas.experimental_local_results(replicas.run(on_replica))

    np.testing.assert_allclose(np.concatenate(both()), expected, rtol=1e-5, atol=1e-3)


@each_random_layer
def test_training_outside_a_key_is_an_error(build):
    with pytest.raises(randomness.NotKeyedError, match="keyed"):
        build()(PICTURES, training=True)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=ADDONS.get(name, []))
        for name in RANDOM_LAYERS
        if name not in ("crop", "all")
    ],
)
@pytest.mark.parametrize("training", [False, None])
def test_inference_is_the_identity_in_float32(name, training):
    outputs = RANDOM_LAYERS[name]()(tf.cast(PICTURES, tf.uint8), training=training)
    assert outputs.dtype == tf.float32
    np.testing.assert_array_equal(outputs, PICTURES)


@each_random_layer
def test_layers_round_trip_with_their_label(build):
    layer = build()
    again = tf.keras.saving.deserialize_keras_object(tf.keras.saving.serialize_keras_object(layer))
    np.testing.assert_array_equal(train(again, PICTURES), train(layer, PICTURES))


@each_random_layer
def test_layers_work_in_float32_under_mixed_precision(build):
    expected = train(build(), PICTURES)
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        np.testing.assert_array_equal(train(build(), PICTURES), expected)
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")


def test_pictures_of_a_triplet_are_drawn_apart_but_with_its_row():
    """Two triplets flattened to six pictures: rows 0 and 1, three entries each."""
    flipped = train(flip.RandomFlip(name="a"), PICTURES, rows=[0, 1], global_batch=2)
    alone = train(flip.RandomFlip(name="a"), PICTURES[3:], rows=[1], global_batch=2)
    np.testing.assert_array_equal(flipped[3:], alone)


def test_flip_mirrors_the_chosen_left_to_right():
    flipped = flip.flip(PICTURES, tf.constant([True, False] * 3)).numpy()
    np.testing.assert_array_equal(flipped[::2], PICTURES[::2, :, ::-1])
    np.testing.assert_array_equal(flipped[1::2], PICTURES[1::2])


def test_half_of_the_pictures_are_flipped():
    """Of 2,000, 1,000 +- 4 * sqrt(500) = 89."""
    ramp = np.tile(np.arange(4.0, dtype="float32")[None, None, :, None], (2000, 1, 1, 1))
    flipped = train(flip.RandomFlip(name="a"), ramp, global_batch=2000)
    assert abs((flipped[:, 0, 0, 0] == 3).sum() - 1000) < 89


def test_crop_cuts_each_picture_at_its_own_place():
    cut = crop.crop(PICTURES, tf.constant([0, 1, 2, 3, 4, 5]), tf.constant([3, 2, 1, 0, 3, 2]), 7)
    for picture, top, left, got in zip(PICTURES, range(6), [3, 2, 1, 0, 3, 2], cut, strict=True):
        np.testing.assert_array_equal(got, picture[top : top + 7, left : left + 7])


def test_random_crop_reaches_every_place_and_only_those():
    """12x10 pictures whose pixels are their own address, cut to 9: tops 0-3, lefts 0-1."""
    address = np.arange(120, dtype="float32").reshape(1, 12, 10, 1)
    cut = train(crop.RandomCrop(9, name="a"), np.repeat(address, 400, 0), global_batch=400)
    assert set(cut[:, 0, 0, 0]) == {10 * top + left for top in range(4) for left in range(2)}


def test_crop_takes_the_centre_at_inference():
    centre = crop.RandomCrop(8)(PICTURES)
    assert centre.shape == (6, 8, 8, 3)
    np.testing.assert_array_equal(centre, PICTURES[:, 2:10, 1:9])


@pytest.mark.parametrize("training", [True, False])
def test_a_crop_larger_than_the_picture_is_a_clear_error(training):
    with (
        randomness.keyed(0, 0, list(range(6)), 6),
        pytest.raises(ConfigError, match=r"augment.crop=11 .* 12x10"),
    ):
        crop.RandomCrop(11)(PICTURES, training=training)


@pytest.mark.parametrize("quarters", [1, 2, 3, -1])
def test_quarter_turns_are_exact_and_counter_clockwise(quarters):
    """A square turned by 90 degrees maps pixels on pixels, so it equals numpy's rot90."""
    square = PICTURES[:, :10]
    turned = rotation.rotate(square, tf.fill([6], tf.cast(quarters * np.pi / 2, tf.float32)))
    np.testing.assert_allclose(turned, np.rot90(square, quarters, (1, 2)), atol=1e-2)


def test_rotation_reflects_at_the_border_instead_of_black():
    white = np.full((6, 12, 10, 3), 200, "float32")
    np.testing.assert_allclose(
        train(rotation.RandomRotation(0.4, name="a"), white), white, rtol=1e-5
    )
    black = train(rotation.RandomRotation(0.4, "constant", name="a"), white)
    assert black.min() == 0
    with pytest.raises(ConfigError, match="mirror"):
        rotation.RandomRotation(0.1, "mirror")


def test_rotation_stays_within_its_factor():
    """A bright dot at distance 20 to the right of the centre of 51x51, turned by at most 0.05 of a
    turn = 18 degrees, stays within 20 * sin(18) = 6.2 rows of the middle, and comes near it.
    """
    dot = np.zeros((300, 51, 51, 1), "float32")
    dot[:, 25, 45] = 255
    turned = train(rotation.RandomRotation(0.05, name="a"), dot, global_batch=300)[..., 0]
    rows = turned.sum(2).argmax(1) - 25
    assert rows.min() in (-6, -5)
    assert rows.max() in (5, 6)


@needs_addons
@settings(max_examples=25)
@given(
    st.integers(0, 2**32),
    st.tuples(st.integers(1, 6), st.integers(1, 6)).map(lambda s: (2 * s[0], 2 * s[1])),
)
def test_cutout_equals_that_of_tensorflow_addons(seed, size):
    rng = np.random.default_rng(seed)
    centres = np.stack([rng.integers(0, 12, 6), rng.integers(0, 10, 6)], 1).astype("int32")
    np.testing.assert_array_equal(
        cutout.cutout(tf.constant(PICTURES), centres, size, 7.0),
        addons.random_cutout(tf.constant(PICTURES), size, centres, 7.0),
    )


@needs_addons
def test_cutout_layers_of_both_kinds_cut_the_same_holes():
    ours = train(cutout.Cutout((4, 6), 9.0, name="a"), PICTURES)
    np.testing.assert_array_equal(train(cutout.TfaCutout((4, 6), 9.0, name="a"), PICTURES), ours)


def test_a_whole_hole_has_the_size_asked_for():
    """3x5 about row 6, column 4: rows 5 to 7, columns 2 to 6."""
    holes = cutout.cutout(tf.ones([1, 12, 10, 1]), [[6, 4]], (3, 5)).numpy()[0, ..., 0] == 0
    rows, columns = np.nonzero(holes)
    assert holes.sum() == 15
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (5, 7, 2, 6)


def test_centres_of_holes_reach_every_place():
    centres = []
    layer = cutout.Cutout((2, 2), name="a")
    with randomness.keyed(0, 0, list(range(3000)), 3000):
        centres = layer.centres(tf.zeros([3000, 12, 10, 1])).numpy()
    assert set(centres[:, 0]) == set(range(12))
    assert set(centres[:, 1]) == set(range(10))


@pytest.mark.skipif(addons.installed(), reason="for stacks without tensorflow-addons")
def test_without_addons_their_cutout_is_refused_with_the_way_out():
    with pytest.raises(ConfigError, match="vectorised cuts the same holes"):
        build_augmentation(everything(cutout_implementation="addons"))


@needs_addons
def test_addons_take_even_holes_only_and_the_error_says_so():
    with pytest.raises(ConfigError, match="cutout_implementation=vectorised"):
        cutout.TfaCutout((5, 5))


def test_brightness_multiplies_and_stays_a_pixel():
    grey = np.full((500, 2, 2, 1), 100, "float32")
    out = train(brightness.RandomBrightness(0.2, name="a"), grey, global_batch=500)[:, 0, 0, 0]
    assert 80 <= out.min() < 81
    assert 119 < out.max() <= 120
    bright = train(brightness.RandomBrightness(0.2, name="a"), PICTURES)
    assert bright.max() == 255


def test_contrast_keeps_the_mean_colour():
    soft = 100 + PICTURES / 10
    out = train(contrast.RandomContrast(0.5, name="a"), soft)
    np.testing.assert_allclose(out.mean((1, 2)), soft.mean((1, 2)), rtol=1e-5)
    ratios = out.std((1, 2)) / soft.std((1, 2))
    assert (ratios >= 0.5).all()
    assert (ratios <= 1.5).all()
    assert np.ptp(ratios[:, 0]) > 0.1


def test_dropout_drops_its_rate_and_keeps_the_mean():
    """100,000 features at rate 0.4: share 0.4 +- 4 * sqrt(0.24 / 1e5) = 0.0062."""
    out = train(KeyedDropout(0.4, name="a"), np.ones((10, 10000), "float32"), global_batch=10)
    assert set(np.unique(out)) == {np.float32(0), np.float32(1 / 0.6)}
    assert abs((out == 0).mean() - 0.4) < 0.0062
    np.testing.assert_array_equal(train(KeyedDropout(0.0, name="a"), PICTURES), PICTURES)


def test_normalised_vectors_have_length_one_and_zero_has_a_finite_gradient():
    vectors = tf.Variable([[3.0, 4.0], [0.0, 0.0], [1e-4, 0.0]])
    with tf.GradientTape() as tape:
        unit = Scale(8.0)(L2Normalize()(vectors))
    np.testing.assert_allclose(unit, [[4.8, 6.4], [0, 0], [8, 0]], rtol=1e-6)
    assert np.isfinite(tape.gradient(unit, vectors)).all()


def test_augmentation_is_in_the_order_of_the_recipe():
    names = [layer.name for layer in build_augmentation(everything()).layers]
    assert names == [
        "resize",
        "random_crop",
        "random_flip",
        "random_brightness",
        "random_contrast",
        "cutout",
        "random_rotation",
    ]


@needs_addons
def test_the_cutout_of_addons_takes_the_place_of_ours():
    addons_too = build_augmentation(everything(cutout_implementation="addons"))
    assert isinstance(addons_too.layers[5], cutout.TfaCutout)


def test_only_resize_and_centre_crop_act_at_inference():
    augment = build_augmentation(everything())
    expected = tf.image.resize(PICTURES, (16, 16))[:, 2:14, 2:14]
    np.testing.assert_allclose(augment(PICTURES, training=False), expected, rtol=1e-6)
    assert train(augment, PICTURES).shape == (6, 12, 12, 3)


@pytest.mark.parametrize(
    "nothing",
    [
        everything(enabled=False),
        everything(
            resize_to=0, crop=0, flip=False, rotation=0.0, cutout=0, brightness=0.0, contrast=0.0
        ),
    ],
)
def test_nothing_asked_for_is_the_identity(nothing):
    augment = build_augmentation(nothing)
    np.testing.assert_array_equal(augment(PICTURES, training=True), PICTURES)


@pytest.mark.parametrize("training", [True, False])
def test_what_does_not_fit_is_said_in_a_line_from_inside_a_traced_function(training):
    """In a branch and a loop, each of which TensorFlow rewrites."""
    layer = crop.RandomCrop(64)

    @tf.function
    def traced(images):
        for _ in tf.range(2):
            if tf.reduce_sum(images) > 0:
                images = layer(images, training=training)
        return images

    with pytest.raises(ConfigError) as caught:
        traced(tf.zeros([2, 32, 32, 3]))
    assert "\n" not in str(caught.value) and "64" in str(caught.value)
