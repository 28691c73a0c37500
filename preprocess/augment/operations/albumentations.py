"""Runs a pipeline of albumentations, for those who have one already.

    - albumentations: {pipeline: leaves.json}    what `albumentations.save` wrote, JSON or YAML

albumentations is imported when a pipeline is made, here and nowhere else: a dataset can be read,
verified and compared without it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import random
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import numpy as np

from preprocess import storage
from preprocess.augment.canvas import Canvas, Image
from preprocess.augment.generator import seeded_generator
from preprocess.augment.operation import MissingLibraryError, Numbers, Operation, Values
from preprocess.augment.settings import NumberKind
from preprocess.shell.errors import ConfigError
from preprocess.shell.nearest import did_you_mean
from preprocess.shell.shown import shown
from preprocess.shell.yaml_text import MAX_BYTES, read_mapping

PACKAGE = "albumentations"
INSTALL = f"pip install {PACKAGE}==2.0.8"  # the last under the MIT licence, and what is tested
_CLASS = "__class_fullname__"
_SHORT_ARRAY = 16  # numbers; `explain` shows a longer array by its shape


@dataclasses.dataclass(frozen=True)
class PipelineKind:
    """A serialised pipeline, held as JSON with sorted keys: two ways to write it are one."""

    def read(self, value: Any, where: str) -> str:
        """See Kind."""
        if not isinstance(value, dict) or not isinstance(value.get("transform"), dict):
            raise ConfigError(
                f"{where}: received {shown(value)}, needs a file's path, or what "
                "`albumentations.to_dict` gives: {transform: ...}"
            )
        try:
            return json.dumps(value, sort_keys=True, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{where}: not plain data: {error}") from None

    def write(self, value: str) -> Any:
        """See Kind."""
        return json.loads(value)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Albumentations(Operation):
    """Runs a pipeline, which must leave shape and type as they are: uint8[H, W, 3], RGB.

    What is drawn is a seed; the pipeline draws everything else from it.
    """

    package = PACKAGE

    probability: Annotated[float, NumberKind(0, 1)] = 1.0  # a pipeline has its own
    pipeline: Annotated[str, PipelineKind()]

    @classmethod
    def with_files(cls, values: Values, where: str, folder: str | None) -> Values:
        """A pipeline may be given by its file's path."""
        if not isinstance(values.get("pipeline"), str):
            return values
        if folder is None:
            raise ConfigError(f"{where}: names a file; the recipe of a dataset holds its pipeline")
        return {
            **values,
            "pipeline": read_pipeline(os.path.join(folder, values["pipeline"]), where),
        }

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Numbers:
        """A seed, and the pipeline that it is for."""
        return {"seed": int(rng.integers(2**63)), "pipeline": self.pipeline}

    @staticmethod
    def apply(canvas: Canvas, numbers: Numbers) -> None:
        """Raises ConfigError if the pipeline fails or does not leave shape and type."""
        canvas.replace(_run(canvas.write(), numbers)["image"])

    @staticmethod
    def explain(numbers: Numbers, before: Callable[[], Image]) -> Numbers:
        """Seed, pipeline, and `applied`: the transforms that fired, each with what it drew, or
        None where albumentations is not installed.
        """
        told = {**numbers, "pipeline": json.loads(numbers["pipeline"]), "applied": None}
        with contextlib.suppress(MissingLibraryError):
            fired = _run(before().copy(), numbers)["applied_transforms"]
            told["applied"] = [{"transform": n, "numbers": _plain(values)} for n, values in fired]
        return told

    def check(self) -> None:
        """Raises ConfigError if this pipeline cannot be made here."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # advice on better transforms
            _pipeline(self.pipeline)


def read_pipeline(path: str, where: str) -> dict[Any, Any]:
    """What `albumentations.save` wrote to a file, as JSON or as YAML.

    Raises ConfigError if there is no such file, or it is neither.
    """
    try:
        text = storage.read_bytes(path, MAX_BYTES + 1).decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(
            f"{where}: '{path}': no such file; its path is relative to the recipe's folder"
        ) from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{where}: '{path}' cannot be read: {error}") from None
    try:
        value = json.loads(text)  # first: 1e-05 is a number in JSON and a word in YAML
    except ValueError:
        return read_mapping(text, f"{where}: '{path}'", needs="what `albumentations.save` writes")
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: '{path}' holds {shown(value)}, not a pipeline")
    return value


# A pipeline takes milliseconds to make and holds its generators: each thread has its own.
_thread = threading.local()


def _pipeline(text: str) -> Any:
    made: dict[str, Any] = _thread.__dict__
    if text not in made:
        made[text] = _make(text)
    return made[text]


def _run(image: Image, numbers: Numbers) -> dict[str, Any]:
    pipeline = _pipeline(numbers["pipeline"])
    # Not set_random_seed: it gives every transform a generator of its own with the same seed, so
    # that all coins of a pipeline fall alike and two flips always come together.
    seed = numbers["seed"]
    pipeline.set_random_state(seeded_generator(seed), random.Random(seed))
    try:
        result: dict[str, Any] = pipeline(image=image)
    except Exception as error:  # whatever a transform may raise
        raise ConfigError(
            f"the {PACKAGE} pipeline fails on a picture of {list(image.shape)}: {_line(error)}"
        ) from error
    made = result["image"]
    if made.dtype != np.uint8 or made.shape != image.shape:
        raise ConfigError(
            f"the {PACKAGE} pipeline makes {made.dtype}{list(made.shape)} of "
            f"uint8{list(image.shape)}; shape and type must stay: take out what resizes, crops or "
            "normalises; quarter turns need square pictures (--image_size)"
        )
    result["image"] = np.ascontiguousarray(made)
    return result


def _make(text: str) -> Any:
    library = _library()
    values = json.loads(text)
    from albumentations.core.serialization import SERIALIZABLE_REGISTRY, shorten_class_name

    for name in _names(values):
        if shorten_class_name(name) not in SERIALIZABLE_REGISTRY:
            raise ConfigError(
                f"{PACKAGE} {library.__version__} has no transform {shown(name)} that can be "
                f"read from a file{did_you_mean(name, SERIALIZABLE_REGISTRY)}"
            )
    try:
        made = library.from_dict(values)
        # A pipeline may be a single transform.
        pipeline = made if isinstance(made, library.Compose) else library.Compose([made])
    except Exception as error:  # pydantic's, and whatever the nonsense of a file leads to
        raise ConfigError(f"{PACKAGE} cannot make the pipeline: {_line(error)}") from error
    _refuse_unknown_settings(pipeline)
    pipeline.save_applied_params = True
    return pipeline


def _library() -> Any:
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it would ask the network
    try:
        import albumentations
    except ImportError as error:
        raise MissingLibraryError(
            f"the recipe names an {PACKAGE} pipeline, and {PACKAGE} cannot be imported ({error}); "
            f"{INSTALL}"
        ) from None
    if not hasattr(albumentations.Compose, "set_random_state"):
        raise ConfigError(
            f"{PACKAGE} {albumentations.__version__} cannot be seeded a picture; {INSTALL}"
        )
    return albumentations


def _names(value: Any) -> Iterator[str]:
    """Every class that a pipeline names."""
    if isinstance(value, dict):
        if _CLASS in value:
            yield str(value[_CLASS])
        for each in value.values():
            yield from _names(each)
    elif isinstance(value, list):
        for each in value:
            yield from _names(each)


def _refuse_unknown_settings(pipeline: Any) -> None:
    """Of a setting that a transform does not have, the library only warns."""
    for transform in pipeline.transforms:
        if wrong := getattr(transform, "invalid_args", None):
            name = type(transform).__name__
            raise ConfigError(f"{PACKAGE}: {name} has no setting {', '.join(map(shown, wrong))}")
        if hasattr(transform, "transforms"):
            _refuse_unknown_settings(transform)


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _plain(value: Any) -> Any:
    """JSON-able, and short enough to read."""
    if isinstance(value, np.ndarray):
        if value.size > _SHORT_ARRAY:
            return f"{value.dtype}{list(value.shape)}"
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)
