"""Project-wide defaults, in `.launch.toml` in the folder where `launch` is called.

    backend = "job"                    # for every verb; the keys are names of flags
    image = "registry/shardline@sha256:..."

    [train]                            # for one verb
    gpu = "h100:8"
    volume = ["runs:/runs"]

The command line takes precedence, then the verb's section.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any

from absl import flags

from launch.spec import VERBS
from preprocess.shell.errors import ConfigError
from preprocess.shell.nearest import did_you_mean

FILE = ".launch.toml"


def apply_defaults(verb: str, names: Collection[str]) -> None:
    """Sets flags that the command line did not set, from the file in the current folder.

    Args:
      verb: whose section applies.
      names: the flags that the file may set.

    Raises:
      ConfigError: the file is not TOML, or has a value that no flag accepts.
    """
    path = Path(FILE)
    for name, value in values(path, verb, names).items():
        flag = flags.FLAGS[name]
        if flag.present:
            continue
        try:
            flag.parse([str(v) for v in value] if isinstance(value, list) else _text(value))
        except flags.Error as error:
            raise ConfigError(f"{path}: {name} = {value!r}: {error}") from None
        flag.using_default_value = False


def apply_default(name: str) -> None:
    """Sets one flag of a command that starts nothing, and ignores the rest of the file.

    Raises ConfigError if the file is not TOML.
    """
    value = _read(Path(FILE)).get(name)
    if isinstance(value, str) and not flags.FLAGS[name].present:
        flags.FLAGS[name].parse(value)


def values(path: Path, verb: str, names: Collection[str]) -> dict[str, Any]:
    """Flag -> value for a verb; raises ConfigError."""
    found = _read(path)
    sections = {name: value for name, value in found.items() if isinstance(value, dict)}
    plain = {name: value for name, value in found.items() if name not in sections}
    for section in sections:
        if section not in VERBS:
            raise ConfigError(f"{path}: unknown verb [{section}]{_near(section, VERBS)}")
    # Every section is checked, so that mistakes in other verbs' sections are found too.
    known = {where: _known(path, where, each, names) for where, each in sections.items()}
    return {**_known(path, "", plain, names), **known.get(verb, {})}


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None


def _known(
    path: Path, section: str, found: dict[str, Any], names: Collection[str]
) -> dict[str, Any]:
    where = f"[{section}] " if section else ""
    for key, value in found.items():
        if key.replace("-", "_") not in names:
            raise ConfigError(f"{path}: {where}unknown flag '{key}'{_near(key, names)}")
        each = value if isinstance(value, list) else [value]
        if not all(isinstance(one, (str, int, float)) for one in each):
            raise ConfigError(f"{path}: {where}{key} must be text, a number or a list of them")
    return {key.replace("-", "_"): value for key, value in found.items()}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _near(name: str, names: Collection[str]) -> str:
    hint = did_you_mean(name.replace("-", "_"), sorted(names))
    return hint or f"; known are {', '.join(sorted(names))}"
