"""The user's own code in a configuration: keys whose value is FILE.py:NAME or MODULE:NAME.

Nothing here imports it: a configuration can be read, compared and refused without running what it
names. Whatever builds a part of the training loads it, by preprocess.shell.references.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from preprocess.shell.blame import described
from preprocess.shell.errors import ConfigError, UserError
from preprocess.shell.json_text import JsonObject
from preprocess.shell.reference_source import source_record
from preprocess.shell.references import (
    absolute_reference,
    is_file_reference,
    is_reference,
    split_reference,
)
from trainer.config.entries import BACKBONES
from trainer.config.key_field import Value
from trainer.config.keys import KEYS, Config, get, with_values

# The keys that take a reference, and what may stand before a colon there without being one.
_KEYS: dict[str, tuple[str, ...]] = {
    "task": (),
    "loss.name": (),
    "metrics": (),
    "model.backbone": BACKBONES.names(),
    "model.head": (),
    "augment.layers": (),
    "optimizer.name": ("tfa",),
    "optimizer.schedule": (),
    "callbacks": (),
}
# Of these only a training makes use.
_OF_TRAINING = ("optimizer.name", "optimizer.schedule", "callbacks")


def own_name(key: str, value: str) -> str:
    """What a value of a key is called: the NAME of a reference, any other value as it is."""
    return split_reference(value)[1] if is_own(key, value) else value


def is_own(key: str, value: str) -> bool:
    """Whether a value of a key, or an item of it, is a reference."""
    return is_reference(value) and value.partition(":")[0] not in _KEYS[key]


def own_code(config: Config, *, training: bool = True) -> dict[str, str]:
    """Every reference of a configuration by its key, `metrics.NAME` where a key takes several.

    Without `training`, those only that a finished run needs.
    """
    found = {}
    for key in _KEYS:
        if key in _OF_TRAINING and not training:
            continue
        value = get(config, key)
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, str) and is_own(key, item):
                label = f"{key}.{own_name(key, item)}" if isinstance(value, tuple) else key
                found[label] = item
    return found


def key_of(label: str) -> str:
    """The key of a label of own_code()."""
    return label if label in KEYS else label.rpartition(".")[0]


def with_absolute_files(config: Config) -> Config:
    """A copy whose references have absolute paths."""
    changes: dict[str, Value] = {}
    for key in _KEYS:
        value = get(config, key)
        if isinstance(value, tuple):
            changes[key] = tuple(_absolute(key, str(item)) for item in value)
        elif isinstance(value, str):
            changes[key] = _absolute(key, value)
    return with_values(config, changes)


def _absolute(key: str, value: str) -> str:
    return absolute_reference(value) if is_own(key, value) else value


def check_files(config: Config) -> None:
    """Raises ConfigError where a reference is of a file that is not there."""
    for label, reference in own_code(config).items():
        place, _ = split_reference(reference)
        if is_file_reference(reference) and not os.path.isfile(os.path.expanduser(place)):
            raise ConfigError(f"{key_of(label)}={reference}: no such file")


def sources(config: Config) -> dict[str, JsonObject]:
    """The source of every reference, by its key: its file's sha256 and its neighbours'."""
    return {label: source_record(each) for label, each in own_code(config).items()}


@contextlib.contextmanager
def blamed(key: str, value: str, takes: str = "") -> Iterator[None]:
    """What fails inside is the user's own code, or what it made: one line with the user's line.

    Args:
      key: of the configuration.
      value: the reference.
      takes: how it is called, for the message.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # a user's code may fail in any way
        if type(error).__name__ == "ResourceExhaustedError":
            raise  # of the batch, not of the code
        called = f"; it is called as {takes}" if takes else ""
        raise ConfigError(f"{key}={value} fails: {described(error)}{called}") from error
