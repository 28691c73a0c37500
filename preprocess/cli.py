"""The command line's shell: find the command, parse its flags, turn errors into exit codes.

A command is a module `PACKAGE.commands.NAME` that defines its absl flags at import, has its
help as docstring, and a `main(arguments)`. It is imported only when called, so that help
costs neither TensorFlow nor Beam.
"""

from __future__ import annotations

import difflib
import importlib
import json
import os
import re
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

from absl import flags

from preprocess.errors import UsageError, UserError


def run(package: str, summary: str, commands: Mapping[str, str]) -> NoReturn:
    """Runs `python -m PACKAGE COMMAND ...` from sys.argv and exits with its exit code."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        width = max(map(len, commands))
        rows = "\n".join(f"  {name:<{width}}  {line}" for name, line in commands.items())
        print(f"{summary.strip()}\n\n{rows}\n\n`python -m {package} COMMAND --help` for its flags.")
        sys.exit(0 if arguments else os.EX_USAGE)
    try:
        module = _command(package, arguments[0], commands)
        if {"-h", "--help", "-help"} & set(arguments[1 : _end_of_flags(arguments)]):
            print(_help(package, arguments[0], module))
            sys.exit(0)
        module.main(_parse(arguments[0], arguments[1:]))
    except UserError as error:
        print(f"{package} {arguments[0]}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # `| head` closed the pipe: not an error of anyone's
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except KeyboardInterrupt:
        print(f"\n{package} {arguments[0]}: stopped", file=sys.stderr)
        sys.stdout.flush()
        # Not sys.exit: the native threads of Beam or TensorFlow would abort the process.
        os._exit(130)
    sys.exit(0)


def print_json(value: Mapping[str, Any]) -> None:
    """The one JSON object that `--json` promises on stdout."""
    print(json.dumps(value, ensure_ascii=False, sort_keys=True))


def one_argument(arguments: list[str], name: str) -> str:
    """The one positional argument of a command; raises UsageError for none or more."""
    if len(arguments) != 1:
        raise UsageError(f"one {name} expected, got {' '.join(arguments) or 'none'}")
    return arguments[0]


def say(message: str) -> None:
    """Talk goes to stderr; stdout is for results."""
    print(message, file=sys.stderr, flush=True)


def _command(package: str, name: str, commands: Mapping[str, str]) -> Any:
    if name not in commands:
        near = difflib.get_close_matches(name, commands, n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise UsageError(f"no such command; {hint}There are: {', '.join(commands)}")
    return importlib.import_module(f"{package}.commands.{name}")


def _end_of_flags(arguments: list[str]) -> int:
    return arguments.index("--") if "--" in arguments else len(arguments)


def _parse(name: str, arguments: list[str]) -> list[str]:
    try:
        return list(flags.FLAGS([name, *arguments]))[1:]
    except flags.Error as error:
        missing = re.match(r"flag --(\w+)=None: .* must have a value other than None", str(error))
        said = f"--{missing[1]} is required" if missing else str(error).strip()
        raise UsageError(f"{said} (--help lists the flags)") from None


def _help(package: str, name: str, module: Any) -> str:
    # absl's own flags are left out: only what the command defines is worth reading.
    usage = (module.__doc__ or "").strip()
    return f"python -m {package} {name}\n\n{usage}\n\n{flags.FLAGS.module_help(module)}"
