"""What an expression is: five numbers, and how different two expressions look."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Expression:
    """Five numbers, each from -1 to 1."""

    mouth_curve: float  # -1 corners down, 1 corners up
    mouth_open: float  # -1 closed, 1 wide open
    brow_angle: float  # -1 inner ends up (worried), 1 inner ends down (angry)
    brow_height: float  # -1 low, 1 raised
    eye_open: float  # -1 nearly shut, 1 wide open

    def vector(self) -> np.ndarray:
        """float64[5], in the order of the fields."""
        return np.array(dataclasses.astuple(self))


NAMES = tuple(field.name for field in dataclasses.fields(Expression))

# The prototypes that people recognise; a face shows one of them, somewhat varied.
PROTOTYPES = {
    "neutral": Expression(0.0, -0.9, 0.0, 0.0, 0.2),
    "happy": Expression(0.9, 0.2, -0.1, 0.3, 0.1),
    "surprised": Expression(0.0, 0.8, -0.2, 0.9, 0.9),
    "angry": Expression(-0.6, -0.4, 0.9, -0.8, 0.1),
    "sad": Expression(-0.8, -0.8, -0.9, 0.1, -0.3),
    "sleepy": Expression(0.2, -0.9, -0.1, -0.3, -0.9),
}
VARIATION = 0.22  # standard deviation of each number about its prototype


def draw_expression(prototype: str, rng: np.random.Generator) -> Expression:
    """An expression near the prototype of this name."""
    numbers = PROTOTYPES[prototype].vector() + rng.normal(0, VARIATION, len(NAMES))
    return Expression(*np.clip(numbers, -1, 1).tolist())


def distances(expressions: np.ndarray) -> np.ndarray:
    """How different the pictures of a triplet look.

    Args:
      expressions: float[..., 3, 5].

    Returns:
      float[..., 3], Euclidean: element i is the distance between the other two pictures, so the
      odd one out is where it is smallest.
    """
    return np.stack(
        [
            np.linalg.norm(expressions[..., a, :] - expressions[..., b, :], axis=-1)
            for a, b in ((1, 2), (0, 2), (0, 1))
        ],
        axis=-1,
    )
