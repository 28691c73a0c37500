"""Loading a configuration: a preset or a file, what the command line changes, the checks.

    rest, path, overrides = parse_config_flags(sys.argv)
    config = load_config(path, overrides)

`keys` is the table of them, `values` what each may be, `rules` what goes together, `files`
reads configuration files and presets, `flags` the command line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import ml_collections

from trainer.config.files import preset_names, preset_summary, run_config_file
from trainer.config.flags import parse_config_flags
from trainer.config.keys import FREE_KEYS, KEYS, defaults, get
from trainer.config.rules import check_config
from trainer.config.values import coerce, keys_of, literal, parse, unknown_key
from trainer.errors import ConfigError

__all__ = [
    "check_config",
    "defaults",
    "differences",
    "from_dict",
    "load_config",
    "parse_config_flags",
    "preset_names",
    "preset_summary",
    "to_dict",
    "with_changes",
]

# What a restart may change: how long to go on, what only reports or is only kept, and the
# devices: the global batch stays, so only the order of sums differs.
# A name that ends with a dot stands for its whole section.
RESTART_MAY_CHANGE = (
    "epochs",
    "checkpoint.every_steps",
    "checkpoint.keep",
    "data.service",  # the same batches, made elsewhere
    "data.image_table",  # and these otherwise
    "data.parallel_reads",
    "data.log_records",
    "distribute.",
    "virtual_replicas",
    "profile.",
    "tensorboard.",
    "watchdog.",
)


def load_config(
    path_or_preset: str, overrides: Sequence[tuple[str, str]] = ()
) -> ml_collections.ConfigDict:
    """The configuration of a file or preset, with the command line's changes, checked.

    Args:
      path_or_preset: a Python file with `get_config()`, or the name of a preset.
      overrides: (dotted key, text) pairs, applied in their order.

    Returns:
      A type-safe, locked ConfigDict with every key.

    Raises:
      ConfigError: no such file, a file that fails, an unknown key, a bad value, or two
        values that do not go together. One line that says what to do.
    """
    config = defaults()
    for name, value in _flatten(run_config_file(path_or_preset), origin=path_or_preset):
        _assign(config, name, value)
    for name, text in overrides:
        _override(config, name, text)
    check_config(config)
    return config


def with_changes(
    config: ml_collections.ConfigDict, changes: Mapping[str, str]
) -> ml_collections.ConfigDict:
    """A copy with other values, as texts; raises ConfigError as load_config() does."""
    changed = config.copy_and_resolve_references()
    for name, text in changes.items():
        _override(changed, name, text)
    check_config(changed)
    return changed


def to_dict(config: ml_collections.ConfigDict) -> dict[str, Any]:
    """The configuration as plain JSON values: nested dicts, lists in place of tuples."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: plain(each) for name, each in value.items()}
        return [plain(each) for each in value] if isinstance(value, (list, tuple)) else value

    return plain(config.to_dict())


def from_dict(values: Mapping[str, Any]) -> ml_collections.ConfigDict:
    """The configuration written down by `to_dict`; a key it lacks has its default.

    Raises:
      ConfigError: an unknown key or a bad value, or two that do not go together.
    """
    config = defaults()
    for name, value in _flatten(values, origin="the stored configuration"):
        _assign(config, name, value)
    check_config(config)
    return config


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What differs between two `to_dict` results and may not, when a run is started again.

    Returns:
      A text a key, in the order of the table: `loss.delta (0.5 -> 0.4)`. Empty: go on.
    """
    before, after = from_dict(old), from_dict(new)
    changed = []
    for name in KEYS:
        was, is_now = _plain(get(before, name)), _plain(get(after, name))
        if was != is_now and not _may_change(name):
            changed.append(f"{name} ({was!r} -> {is_now!r})")
    return changed


def _may_change(name: str) -> bool:
    return any(
        name == free or (free.endswith(".") and name.startswith(free))
        for free in RESTART_MAY_CHANGE
    )


def _plain(value: Any) -> Any:
    return value.to_dict() if isinstance(value, ml_collections.ConfigDict) else value


def _flatten(values: Mapping[str, Any], origin: str, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) pairs of nested mappings; a key's own mapping stays whole."""
    for part, value in values.items():
        name = f"{prefix}{part}"
        if name in KEYS:
            yield name, value
        elif isinstance(value, Mapping) and any(key.startswith(f"{name}.") for key in KEYS):
            yield from _flatten(value, origin, f"{name}.")
        else:
            raise ConfigError(f"{origin}: {unknown_key(name)}")


def _assign(config: ml_collections.ConfigDict, name: str, value: Any) -> None:
    """Sets one key to a Python value, which must be of its type and in its range."""
    section, _, leaf = name.rpartition(".")
    parent = config[section] if section else config
    value = coerce(name, value)
    if name in FREE_KEYS:
        with parent.unlocked():
            parent[leaf] = ml_collections.ConfigDict(value)
        parent[leaf].unlock()
    else:
        parent[leaf] = value


def _override(config: ml_collections.ConfigDict, name: str, text: str) -> None:
    """Sets one key to what was written on the command line."""
    owner = next((free for free in FREE_KEYS if name.startswith(f"{free}.")), None)
    if owner:
        arguments = {**get(config, owner).to_dict(), name[len(owner) + 1 :]: literal(text)}
        _assign(config, owner, arguments)
    elif name in KEYS:
        _assign(config, name, parse(name, text))
    elif any(key.startswith(f"{name}.") for key in KEYS):
        raise ConfigError(f"{name} is a section, not a key: {keys_of(name)}")
    else:
        raise ConfigError(unknown_key(name))
