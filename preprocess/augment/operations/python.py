"""Calls a function of your own, FILE.py:NAME, on the picture.

    - python: {probability: 0.5, function: fog.py:fog}    the path is relative to the recipe's

    def fog(image, rng):  # uint8[H, W, 3], RGB; a numpy Generator, keyed by seed, picture, variant
        return ...        # uint8[H, W, 3]

The recipe holds the source of the file and of the neighbours that it imports, so it is the same
recipe wherever the file is, and every worker has it. It is code: it runs in a build that is given
the recipe, and never because a dataset has it.
"""

from __future__ import annotations

import atexit
import dataclasses
import functools
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from preprocess.augment.canvas import Canvas, Image
from preprocess.augment.generator import seeded_generator
from preprocess.augment.operation import Numbers, Operation, Values
from preprocess.shell.blame import described, own_kind
from preprocess.shell.errors import ConfigError, UserError
from preprocess.shell.json_text import JsonObject
from preprocess.shell.reference_source import record_of_texts, source_texts
from preprocess.shell.references import is_file_reference, load_function, split_reference
from preprocess.shell.shown import shown

_TAKES = ("image", "rng")
_loading = threading.Lock()


@dataclasses.dataclass(frozen=True)
class FunctionKind:
    """FILE.py:NAME."""

    def read(self, value: Any, where: str) -> str:
        """See Kind."""
        if not isinstance(value, str) or not is_file_reference(value):
            raise ConfigError(f"{where}: received {shown(value)}, needs FILE.py:NAME")
        return value

    def write(self, value: str) -> str:
        """See Kind."""
        return value


@dataclasses.dataclass(frozen=True)
class SourceKind:
    """Python files by their path from the function's folder, held as JSON with sorted keys."""

    def read(self, value: Any, where: str) -> str:
        """See Kind."""
        if not isinstance(value, dict) or not all(_is_file(*each) for each in value.items()):
            raise ConfigError(f"{where}: received {shown(value)}, needs FILE.py: TEXT")
        return json.dumps(value, sort_keys=True)

    def write(self, value: str) -> Any:
        """See Kind."""
        return json.loads(value)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Python(Operation):
    """Calls a function, which must leave shape and type as they are: uint8[H, W, 3], RGB."""

    own_code = True

    function: Annotated[str, FunctionKind()]
    source: Annotated[str, SourceKind()] = "{}"  # empty until the recipe has been read

    @classmethod
    def with_files(cls, values: Values, where: str, folder: str | None) -> Values:
        """The function's file is read, with the neighbours that it imports."""
        function = values.get("function")
        if "source" in values or not isinstance(function, str) or not is_file_reference(function):
            return values
        if folder is None:
            raise ConfigError(f"{where}: names a file; the recipe of a dataset holds its source")
        place, name = split_reference(function)
        path = os.path.join(folder, os.path.expanduser(place))
        if not os.path.isfile(path):
            raise ConfigError(
                f"{where}: '{place}': no such file; its path is relative to the recipe's folder"
            )
        return {
            **values,
            "function": f"{os.path.basename(path)}:{name}",
            "source": source_texts(f"{path}:{name}"),
        }

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Numbers:
        """A seed, and the function that it is for."""
        seed = int(rng.integers(2**63))
        return {"seed": seed, "function": self.function, "source": self.source}

    @staticmethod
    def apply(canvas: Canvas, numbers: Numbers) -> None:
        """Raises ConfigError if the function fails or does not leave shape and type."""
        canvas.replace(_call(canvas.write(), numbers))

    @staticmethod
    def explain(numbers: Numbers, before: Callable[[], Image]) -> Numbers:
        """Without the source, which recipe.yaml has."""
        del before
        return {name: value for name, value in numbers.items() if name != "source"}

    def sources(self) -> list[JsonObject]:
        """One source_record()."""
        return [record_of_texts(self.function, json.loads(self.source))]

    def check(self) -> None:
        """Raises ConfigError if the function cannot be imported, or is none."""
        _loaded(self.function, self.source)


def _is_file(name: object, text: object) -> bool:
    """Whether it is a Python file inside a folder, and its text."""
    return (
        isinstance(name, str)
        and isinstance(text, str)
        and name.endswith(".py")
        and not {"", ".", ".."} & {*name.split("/")}
    )


def _call(image: Image, numbers: Numbers) -> Image:
    function, folder = _loaded(numbers["function"], numbers["source"])
    shape, name = image.shape, f"python: {numbers['function']}"
    try:
        made = np.asarray(function(image, seeded_generator(numbers["seed"])))
    except UserError:
        raise
    except Exception as error:  # a user's function may fail in any way
        reason = described(error).replace(f"{folder}{os.sep}", "")
        raise own_kind(error)(f"{name} fails on a picture of {list(shape)}: {reason}") from error
    if made.dtype != np.uint8 or made.shape != shape:
        raise ConfigError(
            f"{name} makes {made.dtype}{list(made.shape)} of uint8{list(shape)}; shape and type "
            "must stay"
        )
    return np.array(made, order="C")  # which the function may keep, and the next step writes to


def _loaded(function: str, source: str) -> tuple[Callable[..., Any], str]:
    with _loading:
        return _load(function, source)


@functools.cache
def _load(function: str, source: str) -> tuple[Callable[..., Any], str]:
    """The function, and the folder of this process that has its source."""
    folder = tempfile.mkdtemp(prefix="recipe-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name, text in json.loads(source).items():
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("utf-8"))
    try:
        return load_function(f"{folder}/{function}", "python", _TAKES, {}, "python"), folder
    except ConfigError as error:
        raise ConfigError(str(error).replace(f"{folder}{os.sep}", "")) from None
