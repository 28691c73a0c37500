"""Configuration files: Python with `get_config()`, by path, or a shipped one by its name."""

from __future__ import annotations

import ast
import difflib
import os
import re
import runpy
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_collections

from trainer.config.values import unknown_key
from trainer.errors import ConfigError

CONFIGS = str(Path(__file__).resolve().parent.parent / "configs")


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


def run_config_file(path_or_preset: str) -> Mapping[str, Any]:
    """What `get_config()` of a file or preset returns."""
    path = path_or_preset
    if path in preset_names():
        path = os.path.join(CONFIGS, f"{path}.py")
    if not os.path.isfile(path):
        near = difflib.get_close_matches(
            os.path.basename(path).removesuffix(".py"), preset_names(), n=1
        )
        hint = f"did you mean --config={near[0]}? " if near else ""
        raise ConfigError(
            f"--config={path_or_preset}: no such file; {hint}"
            f"presets, by name: {', '.join(preset_names())}"
        )
    try:
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
    if not isinstance(values, Mapping):
        raise ConfigError(
            f"--config={path_or_preset}: get_config() returned {type(values).__name__}, "
            "it must return what trainer.config.defaults() made"
        )
    return values


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
