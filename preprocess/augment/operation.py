"""What an operation is: settings that a recipe gives, a draw, and an application."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any, ClassVar

import numpy as np

from preprocess.augment.canvas import Canvas, Image
from preprocess.augment.settings import NumberKind

Numbers = dict[str, Any]
"""What was drawn, by name with its unit: numbers, words, and lists of numbers; JSON-able."""


@dataclasses.dataclass(frozen=True)
class Drawn:
    """An operation that fired, and everything that was drawn for it."""

    operation: str
    numbers: Numbers


@dataclasses.dataclass(frozen=True, kw_only=True)
class Operation:
    """One step of a recipe. A subclass adds its settings, `draw` and `apply`."""

    name: ClassVar[str]

    probability: Annotated[float, NumberKind(0, 1)]

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Numbers:
        """Draws the numbers for a picture of height x width pixels; the only use of chance."""
        raise NotImplementedError  # abstract

    @staticmethod
    def explain(numbers: Numbers, before: Callable[[], Image]) -> Numbers:
        """What a person is told of `numbers`; `before` gives the picture as this step found it."""
        return numbers

    def check(self) -> None:
        """Raises ConfigError where this machine lacks what `apply` needs."""

    @staticmethod
    def apply(canvas: Canvas, numbers: Numbers) -> None:
        """Does to the canvas what `numbers` say."""
        raise NotImplementedError  # abstract
