"""Pictures whose pixels say where they came from, for tests of this folder."""

from __future__ import annotations

import numpy as np

from preprocess.augment import Drawn, Recipe
from preprocess.augment.canvas import Image


def gradient(height: int, width: int) -> Image:
    """Red grows from left to right, green from top to bottom, blue is 50; uint8[H, W, 3]."""
    picture = np.full((height, width, 3), 50, np.uint8)
    picture[..., 0] = np.linspace(0, 200, width).astype(np.uint8)
    picture[..., 1] = np.linspace(0, 200, height).astype(np.uint8)[:, np.newaxis]
    return picture


def noise(height: int, width: int) -> Image:
    """Every level, everywhere; uint8[H, W, 3]."""
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def apply(image: Image, *operations: tuple[str, dict]) -> Image:
    """The operations with the numbers given, in order."""
    return Recipe(()).apply(image, [Drawn(name, numbers) for name, numbers in operations])


def affine(**numbers: float | str | list[int]) -> tuple[str, dict]:
    """An affine operation that does nothing but what is named."""
    nothing = {
        "rotate_degrees": 0.0,
        "shift_x_pixels": 0.0,
        "shift_y_pixels": 0.0,
        "scale_factor": 1.0,
        "shear_x_degrees": 0.0,
        "shear_y_degrees": 0.0,
        "border": "reflect",
    }
    return "affine", {**nothing, **numbers}


def difference(a: Image, b: Image) -> int:
    """The largest difference of any level."""
    return int(np.abs(a.astype(int) - b.astype(int)).max())
