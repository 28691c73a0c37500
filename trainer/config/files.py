"""Configuration files: Python with `get_config()`, by path, or a shipped one by its name; or the
config.json of an earlier run.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import os
import re
import runpy
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ml_collections

from preprocess.shell.errors import ConfigError, DataError
from preprocess.shell.nearest import did_you_mean
from preprocess.shell.regular_files import read_json
from trainer.config.keys import Config
from trainer.config.values import unknown_key

CONFIGS = str(Path(__file__).resolve().parent.parent / "configs")
RECORD = "config.json"  # of a run


def preset_names() -> list[str]:
    """The names of the shipped configurations, sorted."""
    return sorted(
        file.removesuffix(".py")
        for file in os.listdir(CONFIGS)
        if file.endswith(".py") and not file.startswith("_")
    )


def preset_summary(name: str) -> str:
    """The first line of a preset's docstring, without running the preset."""
    with open(os.path.join(CONFIGS, f"{name}.py"), encoding="utf-8") as file:
        docstring = ast.get_docstring(ast.parse(file.read())) or ""
    return docstring.partition("\n")[0]


def recorded_config(path: str) -> Mapping[str, Any] | None:
    """The configuration in a run's config.json, by the file or by RUN; None for another kind."""
    if os.path.isdir(path):
        path = os.path.join(path, RECORD)
    if not path.endswith(".json") or not os.path.isfile(path):
        return None
    try:
        values = read_json(path).get("config")
    except DataError as error:
        raise ConfigError(f"--config: {error}") from None
    if not isinstance(values, Mapping):
        raise ConfigError(f"--config={path}: no configuration in it; it is not a run's {RECORD}")
    return values


def run_config_file(path_or_preset: str) -> Mapping[str, Any]:
    """What `get_config()` of a file or preset returns."""
    path = path_or_preset
    if path in preset_names():
        path = os.path.join(CONFIGS, f"{path}.py")
    if not os.path.isfile(path):
        hint = did_you_mean(os.path.basename(path).removesuffix(".py"), preset_names())
        no_run = f" (a folder without {RECORD})" if os.path.isdir(path) else ""
        raise ConfigError(
            f"--config={path_or_preset}: no such file{no_run}{hint}; "
            f"presets, by name: {', '.join(preset_names())}"
        )
    try:
        with _importing_neighbours(path):
            made = runpy.run_path(path)
            if not callable(made.get("get_config")):
                raise ConfigError(f"--config={path_or_preset}: the file has no get_config()")
            values = made["get_config"]()
    except ConfigError:
        raise
    except Exception as error:  # a user's file may fail in any way
        raise ConfigError(_what_failed(path_or_preset, path, error)) from error
    if isinstance(values, ml_collections.ConfigDict):
        values = values.to_dict()
    elif isinstance(values, Config):  # of from_dict(), as a search writes it
        values = dataclasses.asdict(values)
    if not isinstance(values, Mapping):
        raise ConfigError(
            f"--config={path_or_preset}: get_config() returned {type(values).__name__}, "
            "it must return what trainer.config.defaults() made"
        )
    return values


@contextlib.contextmanager
def _importing_neighbours(path: str) -> Iterator[None]:
    """The modules next to a file can be imported, as in `python FILE`. They are forgotten
    afterwards: another configuration may have a neighbour of the same name.
    """
    folder = os.path.dirname(os.path.abspath(path))
    before = set(sys.modules)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # the file may change it, too
            sys.path.remove(folder)
        for name in set(sys.modules) - before:
            origin = getattr(sys.modules[name], "__file__", None) or ""
            if os.path.dirname(os.path.abspath(origin)) == folder:
                del sys.modules[name]


def _what_failed(path_or_preset: str, path: str, error: Exception) -> str:
    """One line about a configuration file that raised, with the line number in that file."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if os.path.abspath(frame.filename) == os.path.abspath(path)
    ]
    if isinstance(error, SyntaxError) and error.lineno:
        lines = [error.lineno]
    place = f"--config={path_or_preset}" + (f", line {lines[-1]}" if lines else "")
    # ml_collections says which key a locked configuration does not have, then prints it all.
    message = str(error.args[0] if error.args else error)
    unknown = re.search(r'Key "(\w+)" does not exist', message)
    if unknown:
        return f"{place}: {unknown_key(unknown.group(1))}"
    message = message.partition("\n")[0][:300]
    return f"{place}: {type(error).__name__}: {message}"
