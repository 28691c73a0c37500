"""What an operation is: settings that a recipe gives, a draw, and an application.

An operation is one module of preprocess/augment/operations with one subclass of `Operation`; the
module's name is what a recipe calls it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any, ClassVar

import numpy as np

from preprocess.augment.canvas import BORDERS, Border, Canvas, Image
from preprocess.augment.settings import ChoiceKind, ColourKind, NumberKind
from preprocess.shell.errors import ConfigError
from preprocess.shell.json_text import JsonObject

Values = dict[str, Any]
"""The settings of an operation, as YAML gives them."""

Numbers = dict[str, Any]
"""What was drawn, by name with its unit: numbers, words, and lists of numbers; JSON-able."""


class MissingLibraryError(ConfigError):
    """A library that an operation needs is not installed: the machine is at fault, no picture."""


@dataclasses.dataclass(frozen=True)
class Drawn:
    """An operation that fired, and everything that was drawn for it."""

    operation: str
    numbers: Numbers


@dataclasses.dataclass(frozen=True, kw_only=True)
class Operation:
    """One step of a recipe. A subclass adds its settings, `draw` and `apply`."""

    name: ClassVar[str]  # its module's
    package: ClassVar[str] = ""  # that applying it needs beyond the project's own
    own_code: ClassVar[bool] = False  # whether applying it runs code of a user's
    # Settings that recipes of earlier versions do not have: not written out where they have their
    # default, so that a dataset's recipe keeps its digest, and with it the numbers drawn.
    added: ClassVar[tuple[str, ...]] = ()

    probability: Annotated[float, NumberKind(0, 1)]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.name = cls.__module__.rpartition(".")[2]

    @classmethod
    def with_files(cls, values: Values, where: str, folder: str | None) -> Values:
        """The settings `values` of a recipe with the content of the files that they name.

        Args:
            values: What YAML gave.
            where: The place in the recipe, for messages.
            folder: What names of files are relative to. None: the recipe may name none.

        Raises:
            ConfigError: A file that may not be named, or cannot be read.
        """
        del where, folder
        return values

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Numbers:
        """Draws the numbers for a picture of height x width pixels; the only use of chance."""
        raise NotImplementedError  # abstract

    @staticmethod
    def explain(numbers: Numbers, before: Callable[[], Image]) -> Numbers:
        """What a person is told of `numbers`; `before` gives the picture as this step found it."""
        return numbers

    def sources(self) -> list[JsonObject]:
        """What is recorded of the user's code that applying it runs."""
        return []

    def check(self) -> None:
        """Raises ConfigError if this machine lacks what `apply` needs."""

    @staticmethod
    def apply(canvas: Canvas, numbers: Numbers) -> None:
        """Does to the canvas what `numbers` say."""
        raise NotImplementedError  # abstract


@dataclasses.dataclass(frozen=True, kw_only=True)
class BorderedOperation(Operation):
    """An operation that can show what lies outside the picture."""

    border: Annotated[str, ChoiceKind(tuple(BORDERS))] = "reflect"
    fill: Annotated[tuple[int, int, int], ColourKind()] = (0, 0, 0)

    def draw_border(self) -> Numbers:
        """The border, and its colour where that shows."""
        if self.border == "constant":
            return {"border": self.border, "fill": list(self.fill)}
        return {"border": self.border}


def border(numbers: Numbers) -> Border:
    """What `draw_border` gave, as a canvas takes it."""
    return numbers["border"], tuple(numbers.get("fill", (0, 0, 0)))
