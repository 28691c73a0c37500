"""The recipe: which operations, how often and within which ranges."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import yaml

from preprocess import storage
from preprocess.augment.canvas import MAX_SIDE, Canvas, Image
from preprocess.augment.names import RECIPES, SHIPPED_RECIPES
from preprocess.augment.operation import Drawn, MissingLibraryError, Operation
from preprocess.augment.operation_table import OPERATIONS
from preprocess.augment.settings import kinds, read_settings, unknown
from preprocess.augment.stage_clock import Stopwatch
from preprocess.dataset_format import RECIPE_FILE
from preprocess.shell.errors import ConfigError
from preprocess.shell.json_text import JsonObject
from preprocess.shell.nearest import did_you_mean
from preprocess.shell.shown import shown
from preprocess.shell.yaml_text import MAX_BYTES, read_mapping

VERSION = 1

"""The names that `load_recipe` knows."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """An ordered list of operations with their probabilities and ranges."""

    operations: tuple[Operation, ...]
    description: str = ""

    @classmethod
    def from_yaml(cls, text: str, source: str = "recipe", folder: str | None = "") -> Recipe:
        """Reads a recipe strictly.

        Args:
            text: YAML: `version: 1`, an optional `description`, and `operations`, a list whose
                entries are `name: {probability: 0.5, setting: [low, high], ...}`.
            source: What the text is, for messages.
            folder: What names of files in it are relative to; "" = the working directory. None: it
                may name none.

        Raises:
            ConfigError: Anything unknown, missing, of a wrong type or out of its limits; the
                message names the key, what was received and what is valid.
        """
        values = read_mapping(text, source, "a mapping with `version: 1` and `operations:`")
        keys = ("version", "description", "operations")
        for key in values:
            if key not in keys:
                raise ConfigError(unknown(source, "key", key, keys))
        version = values.get("version")
        if version != VERSION or isinstance(version, bool):
            received = shown(version) if "version" in values else "none"
            raise ConfigError(f"{source}: version: received {received}, needs {VERSION}")
        description = values.get("description", "")
        if not isinstance(description, str):
            raise ConfigError(f"{source}: description: received {shown(description)}, needs text")
        entries = values.get("operations")
        if not isinstance(entries, list):
            received = shown(entries) if "operations" in values else "none"
            raise ConfigError(f"{source}: operations: received {received}, needs a list")
        operations = tuple(
            _read_operation(entry, f"{source}: operations[{number}]", folder)
            for number, entry in enumerate(entries)
        )
        return cls(operations, description)

    @functools.cached_property
    def yaml(self) -> str:
        """The canonical text: every setting written out, but for those of `Operation.added` at
        their default, and comments gone; reads back as equal.
        """
        return self._written({"description": self.description})

    @functools.cached_property
    def deciding(self) -> str:
        """The canonical text without the description: all that decides pixels."""
        return self._written({})

    @functools.cached_property
    def digest(self) -> str:
        """sha256 of `deciding`, in hexadecimal: equal digests draw equal numbers."""
        return hashlib.sha256(self.deciding.encode("utf-8")).hexdigest()

    @property
    def own_code(self) -> bool:
        """Whether applying it runs code of a user's."""
        return any(operation.own_code for operation in self.operations)

    @property
    def sources(self) -> dict[str, JsonObject]:
        """What is recorded of the user's code, by its place in the recipe."""
        return {
            f"operations[{number}].{operation.name}": record
            for number, operation in enumerate(self.operations)
            for record in operation.sources()
        }

    @property
    def libraries(self) -> tuple[str, ...]:
        """Packages that applying it needs beyond the project's own."""
        return tuple(sorted({each.package for each in self.operations if each.package}))

    def check(self) -> None:
        """Raises ConfigError if this machine lacks what applying it needs."""
        for operation in self.operations:
            operation.check()

    def _written(self, about: dict[str, str]) -> str:
        values = {
            "version": VERSION,
            **about,
            "operations": [_write_operation(operation) for operation in self.operations],
        }
        return yaml.safe_dump(
            values, sort_keys=False, default_flow_style=None, width=100, allow_unicode=True
        )

    def draw(self, rng: np.random.Generator, height: int, width: int) -> list[Drawn]:
        """Draws which operations fire, and with which numbers.

        Args:
            rng: Consumed; see `variant_generator`.
            height: The picture's, in pixels.
            width: The picture's, in pixels.

        Returns:
            The operations that fire, in the recipe's order.
        """
        return [
            Drawn(operation.name, operation.draw(rng, height, width))
            for operation in self.operations
            if rng.random() < operation.probability
        ]

    def apply(self, image: Image, drawn: Iterable[Drawn], watch: Stopwatch | None = None) -> Image:
        """Does to a picture what was drawn for its size.

        Args:
            image: uint8[H, W, 3], RGB; not written to.
            drawn: What `draw` gave for H and W.
            watch: Gets a lap for each operation, by its name.

        Returns:
            uint8[H, W, 3], RGB; the same numbers always give the same pixels. It is `image`
            itself when nothing was drawn.

        Raises:
            ValueError: The array is not such a picture, is empty, or is larger than MAX_SIDE
                pixels a side.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"needs uint8[H, W, 3], received {image.dtype}{list(image.shape)}")
        if not 0 < min(image.shape[:2]) <= max(image.shape[:2]) <= MAX_SIDE:
            raise ValueError(f"needs sides of 1 to {MAX_SIDE} pixels, received {image.shape[:2]}")
        canvas = Canvas(image, watch)
        for each in drawn:
            canvas.begin(each.operation)
            OPERATIONS[each.operation].apply(canvas, each.numbers)
        canvas.begin("")
        return canvas.read()

    def explain(self, image: Image, drawn: Sequence[Drawn]) -> list[Drawn]:
        """What was drawn for a picture, with what a library drew in its turn.

        Args:
            image: uint8[H, W, 3], RGB, as for `apply`.
            drawn: What `draw` gave for H and W.
        """

        def before(number: int) -> Image:
            if any(OPERATIONS[each.operation].own_code for each in drawn[:number]):
                # The recipe may be a stranger's.
                raise MissingLibraryError("code that a dataset's recipe holds is not run")
            return self.apply(image, drawn[:number])

        return [
            Drawn(
                each.operation,
                OPERATIONS[each.operation].explain(each.numbers, functools.partial(before, number)),
            )
            for number, each in enumerate(drawn)
        ]


def load_stored_recipe(dataset: str) -> Recipe:
    """The recipe that a dataset was built by. It is whole in itself: a file that it names is not
    opened, because the dataset may be a stranger's. Raises ConfigError.
    """
    return load_recipe(os.path.join(dataset, RECIPE_FILE), may_name_files=False)


def load_recipe(name_or_path: str, may_name_files: bool = True) -> Recipe:
    """A shipped recipe by its name, or one of the user's by its file's path.

    Raises:
        ConfigError: There is no such recipe, the file cannot be read, or it is not a recipe.
    """
    name = str(name_or_path)
    path = str(RECIPES / f"{name}.yaml") if name in SHIPPED_RECIPES else name
    try:
        if not (storage.is_remote(path) or os.path.isfile(path)):
            raise FileNotFoundError
        content = storage.read_bytes(path, MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ConfigError(f"recipe {shown(name)}: larger than {MAX_BYTES} bytes; is it one?")
        text = content.decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(
            f"recipe {shown(name)}: no such file{did_you_mean(name, SHIPPED_RECIPES)}; "
            f"give a YAML file's path or one of: {', '.join(SHIPPED_RECIPES)}"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"recipe {shown(name)}: not UTF-8 text; is it YAML?") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise ConfigError(f"recipe {shown(name)}: cannot be read: {error}") from error
    folder = os.path.dirname(path) if may_name_files else None
    recipe = Recipe.from_yaml(text, f"recipe {shown(name)}", folder)
    if len(recipe.yaml) > MAX_BYTES:  # it could not be read back
        raise ConfigError(f"recipe {shown(name)}: with its pipeline, above {MAX_BYTES} characters")
    return recipe


def _read_operation(entry: Any, where: str, folder: str | None) -> Operation:
    """One entry of `operations`."""
    if not isinstance(entry, dict) or len(entry) != 1:
        raise ConfigError(
            f"{where}: received {shown(entry)}, needs one `name: {{probability: ...}}`"
        )
    ((name, values),) = entry.items()
    if name not in OPERATIONS:
        raise ConfigError(unknown(where, "operation", name, OPERATIONS))
    where = f"{where}.{name}"
    if not isinstance(values, dict):
        raise ConfigError(f"{where}: received {shown(values)}, needs {{probability: ...}}")
    cls = OPERATIONS[name]
    values = cls.with_files(values, where, folder)
    return cls(**read_settings(cls, values, where))


def _write_operation(operation: Operation) -> dict[str, Any]:
    """The entry that `_read_operation` reads back as the same operation."""
    settings = {
        name: kind.write(getattr(operation, name))
        for name, kind in kinds(type(operation)).items()
        if name not in operation.added or getattr(operation, name) != getattr(type(operation), name)
    }
    return {operation.name: settings}
