"""Loading a configuration: a preset or a file, what the command line changes, the checks.

    rest, path, overrides = parse_config_flags(sys.argv)
    config = load_config(path, overrides)

keys.py defines them, as the fields of frozen dataclasses, a section each; values.py is what each
may be, combinations.py what goes together, files.py reads configuration files and presets.
Imports the dataset's formats and the shell, never TensorFlow. Start reading at keys.py.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from preprocess.shell.cli import say
from preprocess.shell.errors import ConfigError
from preprocess.shell.json_text import JsonObject
from trainer.config.best_metric import KEY as BEST_METRIC
from trainer.config.best_metric import without_validation
from trainer.config.combinations import check_config
from trainer.config.entries import is_pretrained
from trainer.config.files import (
    preset_names,
    preset_summary,
    recorded_config,
    run_config_file,
)
from trainer.config.flags import parse_config_flags
from trainer.config.key_field import Value
from trainer.config.keys import FREE_KEYS, IGNORED_KEYS, KEYS, Config, defaults, get, with_values
from trainer.config.own_code import check_files, flag_of, key_of, with_absolute_files, with_files_of
from trainer.config.training_stages import same_but_for_the_end
from trainer.config.trust import BACKBONE as _BACKBONE
from trainer.config.trust import check_trusted, foreign_code
from trainer.config.values import coerce, keys_of, literal, parse, unknown_key

__all__ = [
    "Config",
    "Value",
    "check_config",
    "defaults",
    "differences",
    "from_dict",
    "load_config",
    "parse_config_flags",
    "preset_names",
    "preset_summary",
    "to_dict",
    "with_absolute_paths",
    "with_changes",
    "with_values",
]

_STORED = "the stored configuration"

# What a restart may change: how long to train, what only reports or is only kept, and the
# devices: the global batch stays, so only the order of sums differs.
# A name that ends with a dot stands for its whole section.
RESTART_MAY_CHANGE = (
    "epochs",
    "checkpoint.every_steps",
    "checkpoint.keep",
    "early_stopping.",
    "data.image_table",  # the same batches, made otherwise
    "data.on_late",  # waiting or not: what a run does where its follower has ended
    "data.parallel_reads",
    "data.log_records",
    "debug.",
    "distribute.",
    "callbacks",
    "metrics",
    "virtual_replicas",
    "profile.",
    "tensorboard.",
    "watchdog.",
)


def load_config(path_or_preset: str, overrides: Sequence[tuple[str, str]] = ()) -> Config:
    """The configuration of a file or preset, with the command line's changes, checked.

    Args:
      path_or_preset: a Python file with `get_config()`, the name of a preset, or an earlier run:
        RUN or RUN/config.json.
      overrides: (dotted key, text) pairs, applied in their order.

    Raises:
      ConfigError: no such file, a file that fails, an unknown key, a bad value, or two
        values that do not go together. One line that says what to do.
      UsageError: the configuration of a run names a hub module or own code that nobody has
        vouched for.

    Relative paths of own code, modules and weights become absolute, so that the run can be used
    from anywhere.
    """
    recorded = recorded_config(path_or_preset)
    values = run_config_file(path_or_preset) if recorded is None else recorded
    flat = _flatten(values, origin=_STORED if recorded else path_or_preset)
    changed = _overridden(flat, overrides)
    if recorded is not None:
        changed = without_validation(changed, named=BEST_METRIC in dict(overrides))
    config = with_absolute_paths(_checked(changed))
    check_files(config)
    for label, code in foreign_code(config).items() if recorded is not None else ():
        if not {label, key_of(label)} & dict(overrides).keys():
            check_trusted(code, path_or_preset, (), f"--config.{flag_of(label)}")
    return config


def with_absolute_paths(config: Config) -> Config:
    """A copy whose own code, hub module and weights have absolute paths."""
    config = with_absolute_files(config)
    kind, _, place = config.model.backbone.partition(":")
    changes: dict[str, Value] = {}
    if kind == "hub" and "://" not in place:
        changes[_BACKBONE] = f"hub:{os.path.abspath(os.path.expanduser(place))}"
    weights = os.path.expanduser(config.model.weights)
    if not is_pretrained(weights) and os.path.exists(weights):
        changes["model.weights"] = os.path.abspath(weights)
    return with_values(config, changes)


def with_changes(config: Config, changes: Mapping[str, str]) -> Config:
    """A copy with other values, as texts; raises ConfigError as load_config() does."""
    return _checked(_overridden({name: get(config, name) for name in KEYS}, changes.items()))


def to_dict(config: Config) -> JsonObject:
    """The configuration as plain JSON values: nested dicts, lists in place of tuples."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: plain(each) for name, each in value.items()}
        return [plain(each) for each in value] if isinstance(value, (list, tuple)) else value

    result: JsonObject = plain(dataclasses.asdict(config))
    return result


def from_dict(values: JsonObject) -> Config:
    """The configuration written down by `to_dict`; a key it lacks has its default.

    Raises:
      ConfigError: an unknown key or a bad value, or two that do not go together.
    """
    return _checked(_flatten(values, origin=_STORED))


def unchecked(values: JsonObject) -> Config:
    """from_dict() without looking whether values go together, for which the user's own files would
    have to be there.
    """
    return with_values(Config(), _flatten(values, origin=_STORED))


def earlier_config(old: JsonObject, now: Config) -> Config:
    """from_dict() of a run that resumes, whose own files are where `now` has them."""
    config = with_files_of(unchecked(old), now)
    check_config(config)
    return config


def differences(old: JsonObject, new: JsonObject) -> list[str]:
    """What differs between two `to_dict` results and may not, when a run is started again.

    Returns:
      A text a key, in the order of the table: `loss.delta (0.5 -> 0.4)`. Empty: the same.
    """
    after = with_absolute_paths(from_dict(new))
    before = with_absolute_paths(earlier_config(old, after))
    free: tuple[str, ...] = RESTART_MAY_CHANGE
    if not after.reduce_on_plateau.patience:  # which validations cut the rate for
        free = (*free, "validation.")
    changed = []
    for name in KEYS:
        was, is_now = get(before, name), get(after, name)
        if name == "stages" and same_but_for_the_end(before.stages, after.stages):
            continue
        if was != is_now and not _may_change(name, free):
            changed.append(f"{name} ({was!r} -> {is_now!r})")
    return changed


def _may_change(name: str, free: Iterable[str]) -> bool:
    return any(name == each or (each.endswith(".") and name.startswith(each)) for each in free)


def _flatten(values: Mapping[str, Any], origin: str, prefix: str = "") -> dict[str, Value]:
    """Dotted keys and their values, each of its type, of nested mappings; a key's own mapping stays
    whole.
    """
    flat: dict[str, Value] = {}
    for part, value in values.items():
        name = f"{prefix}{part}"
        if name in KEYS:
            flat[name] = coerce(name, value)
        elif name in IGNORED_KEYS:
            _note_ignored(name, origin)
        elif isinstance(value, Mapping) and any(key.startswith(f"{name}.") for key in KEYS):
            flat |= _flatten(value, origin, f"{name}.")
        else:
            raise ConfigError(f"{origin}: {unknown_key(name)}")
    return flat


def _note_ignored(name: str, origin: str) -> None:
    if origin != _STORED:  # which nobody can change
        say(f"note: {origin}: {name} is ignored: {IGNORED_KEYS[name]}")


def _overridden(
    values: Mapping[str, Value], changes: Iterable[tuple[str, str]]
) -> dict[str, Value]:
    """Values of dotted keys, with what was written on the command line."""
    changed = dict(values)
    for name, text in changes:
        owner = next((free for free in FREE_KEYS if name.startswith(f"{free}.")), None)
        if owner:
            given = changed.get(owner, {})
            arguments = given if isinstance(given, Mapping) else {}  # a word is replaced
            changed[owner] = coerce(owner, {**arguments, name[len(owner) + 1 :]: literal(text)})
        elif name in KEYS:
            changed[name] = coerce(name, parse(name, text))
        elif name in IGNORED_KEYS:
            _note_ignored(name, f"--config.{name}")
        elif any(key.startswith(f"{name}.") for key in KEYS):
            raise ConfigError(f"{name} is a section, not a key: {keys_of(name)}")
        else:
            raise ConfigError(unknown_key(name))
    return changed


def _checked(values: Mapping[str, Value]) -> Config:
    """The configuration of dotted keys and their values, each of its type; checks their rules."""
    config = with_values(Config(), values)
    check_config(config)
    return config
