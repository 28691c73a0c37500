"""Shift, zoom, shear and rotation, alone and as one, against coordinates in NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.config import Config, with_values
from trainer.models import randomness
from trainer.models.build_augmentation import build_augmentation
from trainer.models.layers.warp import Warps

RNG = np.random.default_rng(0)
COUNT, HEIGHT, WIDTH = 8, 14, 11
PICTURES = RNG.integers(0, 256, (COUNT, HEIGHT, WIDTH, 3)).astype("float32")
MIDDLE = (WIDTH - 1) / 2, (HEIGHT - 1) / 2
SETTINGS = {"shift": 0.2, "zoom": 0.3, "shear": 25.0, "rotation": 0.1}


def keyed():
    return randomness.keyed(1, tf.constant(7, tf.int64), list(range(COUNT)), COUNT)


def drawn(name, shape=()):
    """What the layer of a name draws, in [-1, 1), float64."""
    with keyed():
        return 2 * randomness.uniform(f"random_{name}", shape).numpy().astype(float) - 1


def shifted(x, y, n):
    moves = SETTINGS["shift"] * drawn("shift", (2,))[n]
    return x - moves[0] * WIDTH, y - moves[1] * HEIGHT


def zoomed(x, y, n):
    scale = 1 + SETTINGS["zoom"] * drawn("zoom")[n]
    return (x - MIDDLE[0]) / scale + MIDDLE[0], (y - MIDDLE[1]) / scale + MIDDLE[1]


def sheared(x, y, n):
    return x + np.tan(np.radians(SETTINGS["shear"] * drawn("shear")[n])) * (y - MIDDLE[1]), y


def turned(x, y, n):
    """Counter-clockwise as one looks at it: a pixel of the result was at the clockwise place."""
    angle = 2 * np.pi * SETTINGS["rotation"] * drawn("rotation")[n]
    point = (x - MIDDLE[0]) + 1j * (MIDDLE[1] - y)
    came_from = point * np.exp(-1j * angle)
    return came_from.real + MIDDLE[0], MIDDLE[1] - came_from.imag


MAPS = {"shift": shifted, "zoom": zoomed, "shear": sheared, "rotation": turned}


def reflected(place, length):
    """Places beyond a border, mirrored at the edge of the last pixel as often as it takes."""
    around = np.mod(place + 0.5, 2 * length)
    return np.clip(np.minimum(around, 2 * length - around) - 0.5, 0, length - 1)


def sampled(picture, x, y):
    """float64 [H, W, C], bilinear."""
    x, y = reflected(x, WIDTH), reflected(y, HEIGHT)
    left = np.minimum(np.floor(x).astype(int), WIDTH - 2)
    top = np.minimum(np.floor(y).astype(int), HEIGHT - 2)
    x, y = (x - left)[..., None], (y - top)[..., None]
    upper = (1 - x) * picture[top, left] + x * picture[top, left + 1]
    lower = (1 - x) * picture[top + 1, left] + x * picture[top + 1, left + 1]
    return (1 - y) * upper + y * lower


def built(**changes):
    values = {"augment.enabled": True, **{f"augment.{k}": v for k, v in changes.items()}}
    return build_augmentation(with_values(Config(), values).augment)


@pytest.mark.parametrize(
    "names",
    [
        *([name] for name in MAPS),
        ["shift", "zoom", "shear", "rotation"],
        ["rotation", "shear", "zoom", "shift"],
    ],
)
def test_pixels_come_from_where_the_maps_say(names):
    """Several act one after the other, and so the places are mapped backwards."""
    augment = built(order=tuple(names), **{name: SETTINGS[name] for name in names})
    assert len(augment.layers) == 1
    with keyed():
        found = augment(PICTURES, training=True).numpy()
    y, x = (each.astype(float) for each in np.mgrid[:HEIGHT, :WIDTH])
    for n, picture in enumerate(PICTURES):
        place = x, y
        for name in reversed(names):
            place = MAPS[name](*place, n)
        np.testing.assert_allclose(found[n], sampled(picture, *place), atol=0.05)
    assert np.abs(found - PICTURES).mean() > 5


def test_neighbours_are_one_interpolation_and_others_are_not():
    both = built(shear=5.0, zoom=0.1, rotation=0.1, cutout=3)
    assert [type(layer).__name__ for layer in both.layers] == ["Cutout", "Warps"]
    apart = built(shear=5.0, zoom=0.1, cutout=3, order=("shear", "cutout", "zoom"))
    assert [type(layer).__name__ for layer in apart.layers] == [
        "RandomShear",
        "Cutout",
        "RandomZoom",
    ]
    assert not any(isinstance(layer, Warps) for layer in built(rotation=0.1, flip=True).layers)


def test_a_flat_picture_stays_as_it_is():
    """The border is reflected, not black."""
    with keyed():
        out = built(**SETTINGS)(np.full_like(PICTURES, 200), training=True)
    np.testing.assert_allclose(out, 200, rtol=1e-5)
