"""Every command of the three packages with its help and flags, read from their modules.

As a program it prints them as JSON: each module is imported in a process of its own, since
commands define flags of the same names.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import json
import multiprocessing
import subprocess
import sys
from typing import Any

PACKAGES = ("preprocess", "trainer", "launch")
# How `--config.KEY=VALUE` reaches absl; nobody types it.
HIDDEN = ("override",)


@dataclasses.dataclass(frozen=True)
class Flag:
    """One flag, as `--help` shows it.

    Attributes:
      name: without dashes.
      kind: absl's name of its type: string, bool, int, enum, ...
      default: as text; "" = none.
      help: one or more sentences.
      module: where it is defined; several commands may share a module of flags.
    """

    name: str
    kind: str
    default: str
    help: str
    module: str


@dataclasses.dataclass(frozen=True)
class Command:
    """One command: `python -m PACKAGE NAME`.

    Attributes:
      summary: its line in `python -m PACKAGE --help`.
      usage: its help without the flags.
      flags: by name.
    """

    package: str
    name: str
    summary: str
    usage: str
    flags: tuple[Flag, ...]


@functools.cache
def all_commands() -> tuple[Command, ...]:
    """Of all packages, in the order of their `--help`."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.docs.command_flags"],
        capture_output=True,
        text=True,
        check=True,
    )
    return tuple(
        Command(**{**command, "flags": tuple(Flag(**flag) for flag in command["flags"])})
        for command in json.loads(done.stdout)
    )


def _described(module: str) -> dict[str, Any]:
    from absl import flags

    command = importlib.import_module(module)
    modules = flags.FLAGS.flags_by_module_dict()
    defined_in = {flag.name: name for name, found in modules.items() for flag in found}
    found = [
        Flag(
            name=flag.name,
            kind=flag.flag_type(),
            default="" if flag.default in (None, "", []) else _shown(flag.default),
            help=(flag.help or "").strip(),
            module=defined_in[flag.name],
        )
        for flag in flags.FLAGS.get_key_flags_for_module(command)
        if flag.name not in HIDDEN
    ]
    return {
        "usage": (command.__doc__ or "").strip(),
        "flags": sorted(map(dataclasses.asdict, found), key=lambda flag: flag["name"]),
    }


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def main() -> None:
    """Prints a list of commands."""
    named = [
        (package, name, summary)
        for package in PACKAGES
        for name, summary in importlib.import_module(f"{package}.__main__").COMMANDS.items()
    ]
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        modules = [f"{package}.commands.{name}" for package, name, _ in named]
        described = pool.map(_described, modules, chunksize=1)
    commands = [
        {"package": package, "name": name, "summary": summary, **rest}
        for (package, name, summary), rest in zip(named, described, strict=True)
    ]
    json.dump(commands, sys.stdout)


if __name__ == "__main__":
    main()
