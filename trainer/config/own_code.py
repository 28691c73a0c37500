"""The user's own code in a configuration: keys whose value is FILE.py:NAME or MODULE:NAME.

Nothing here imports it: a configuration can be read, compared and refused without running what it
names. Whatever builds a part of the training loads it, by preprocess.shell.references.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TypeAlias

from preprocess.shell.blame import described, of_the_machine, own_kind
from preprocess.shell.errors import ConfigError, UserError
from preprocess.shell.json_text import JsonObject
from preprocess.shell.reference_source import source_changes, source_record
from preprocess.shell.references import (
    absolute_reference,
    is_file_reference,
    is_reference,
    split_reference,
)
from trainer.config.entries import BACKBONES
from trainer.config.key_field import Value
from trainer.config.keys import FREE_KEYS, KEYS, Config, get, with_values

Sources: TypeAlias = "Mapping[str, JsonObject]"
"""source_record() of references, by label of own_code()."""

# The keys that take a reference, and what may stand before a colon there without being one.
_KEYS: dict[str, tuple[str, ...]] = {
    "task": (),
    "loss.name": (),
    "loss.names": (),
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
    """Every reference of a configuration by its key, `metrics.NAME` where a key takes several,
    `loss.names.PART` where it is a mapping.

    Without `training`, those only that a finished run needs.
    """
    found = {}
    for key in _KEYS:
        if key in _OF_TRAINING and not training:
            continue
        for label, item in _items(key, get(config, key)):
            if is_own(key, item):
                found[label] = item
    return found


def _items(key: str, value: Value) -> Iterator[tuple[str, str]]:
    """The texts of a key's value, each with its label."""
    if isinstance(value, Mapping):
        yield from ((f"{key}.{n}", item) for n, item in value.items() if isinstance(item, str))
    elif isinstance(value, tuple):
        yield from ((f"{key}.{own_name(key, str(item))}", str(item)) for item in value)
    elif isinstance(value, str):
        yield key, value


def key_of(label: str) -> str:
    """The key of a label of own_code()."""
    return label if label in KEYS else label.rpartition(".")[0]


def flag_of(label: str) -> str:
    """What sets the reference of a label of own_code(): `loss.names.PART`, but all of `metrics`."""
    key = key_of(label)
    return label if key in FREE_KEYS else key


def with_absolute_files(config: Config) -> Config:
    """A copy whose references have absolute paths."""
    return _with_changed(config, _absolute)


def with_files(config: Config, given: Collection[str], recorded: Sources) -> Config:
    """A copy with the references of this machine: one of those given replaces one to a file that is
    not here, with the same file name and NAME in another folder, as in pods, which have a folder of
    their own. Of several, that whose source is as `recorded`, then that which shares most of its
    last folders.
    """
    then = {str(record.get("reference")): record for record in recorded.values()}
    there = [absolute_reference(each) for each in given if is_file_reference(each)]

    def here(key: str, text: str) -> str:
        if not is_file_reference(text) or os.path.exists(split_reference(text)[0]):
            return text
        same = [each for each in there if same_files(key, each, text)]
        if not same:
            return text
        was = then.get(text)
        return max(same, key=lambda each: (_same_source(each, was), _shared_end(each, text)))

    return _with_changed(config, here)


def with_files_of(config: Config, other: Config) -> Config:
    """A copy whose references are those of another configuration, where they differ in folders."""
    pairs = {key: (get(config, key), get(other, key)) for key in _KEYS}
    return with_values(
        config, {k: new for k, (old, new) in pairs.items() if same_files(k, old, new)}
    )


def moved_files(before: Config, now: Config, recorded: Sources) -> list[str]:
    """What with_files() has replaced, as text."""
    old, changed = own_code(before), []
    for label, reference in own_code(now).items():
        if reference != old[label]:
            differs = "" if _same_source(reference, recorded.get(label)) else ", which differs"
            changed.append(f"{flag_of(label)}: {reference} for {old[label]}{differs}")
    return changed


def _same_source(reference: str, recorded: JsonObject | None) -> bool:
    return recorded is not None and not source_changes(
        {"": recorded}, {"": source_record(reference)}
    )


def _shared_end(one: str, other: str) -> int:
    """How many of their last folders and files two references share."""
    pairs = zip(reversed(one.split("/")), reversed(other.split("/")), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def same_files(key: str, one: Value, other: Value) -> bool:
    """Whether two values of a key differ at most in the folder of a reference's file: another
    machine may have it elsewhere, and whether it is the same is seen from its source.
    """
    return key in _KEYS and _without_folders(key, one) == _without_folders(key, other)


def _without_folders(key: str, value: Value) -> Value:
    def without(key: str, text: str) -> str:
        return os.path.basename(text) if is_own(key, text) and is_file_reference(text) else text

    return _changed(key, value, without)


def _with_changed(config: Config, change: Callable[[str, str], str]) -> Config:
    return with_values(config, {key: _changed(key, get(config, key), change) for key in _KEYS})


def _changed(key: str, value: Value, change: Callable[[str, str], str]) -> Value:
    """A value of a key with each text in it changed by a function (key, text)."""
    if isinstance(value, Mapping):
        return {
            name: change(key, item) if isinstance(item, str) else item
            for name, item in value.items()
        }
    if isinstance(value, tuple):
        return tuple(change(key, str(item)) for item in value)
    return change(key, value) if isinstance(value, str) else value


def _absolute(key: str, value: str) -> str:
    return absolute_reference(value) if is_own(key, value) else value


def check_files(config: Config) -> None:
    """Raises ConfigError where a reference is of a file that is not there."""
    for label, reference in own_code(config).items():
        place, _ = split_reference(reference)
        if is_file_reference(reference) and not os.path.isfile(os.path.expanduser(place)):
            raise ConfigError(f"{flag_of(label)}={reference}: no such file")


def sources(config: Config) -> dict[str, JsonObject]:
    """The source of every reference, by its key: its file's sha256 and its neighbours'."""
    return {label: source_record(each) for label, each in own_code(config).items()}


def recorded_sources(record: JsonObject) -> dict[str, JsonObject]:
    """sources() as config.json has them, which may hold anything."""
    found = record.get("references")
    return (
        {k: v for k, v in found.items() if isinstance(v, dict)} if isinstance(found, dict) else {}
    )


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
    except (Exception, SystemExit) as error:  # a user's code may fail in any way
        if of_the_machine(error):
            raise  # such as a batch that is too large, or another worker that is gone
        called = f"; it is called as {takes}" if takes else ""
        raise own_kind(error)(f"{key}={value} fails: {described(error)}{called}") from error
