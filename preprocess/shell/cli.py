"""The command line's shell: find the command, parse its flags, turn errors into exit codes.

A command is a module `PACKAGE.commands.NAME` that defines its absl flags at import, has its
help as docstring, and a `main(arguments)`. It is imported only when called, so that help costs
neither TensorFlow nor Beam.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from absl import flags

from preprocess.shell.blame import own_mistake
from preprocess.shell.errors import UsageError, UserError
from preprocess.shell.escaped_output import escape_output
from preprocess.shell.exit_codes import ExitCode
from preprocess.shell.json_text import json_text
from preprocess.shell.nearest import did_you_mean
from preprocess.shell.resource_limits import limit_reached
from preprocess.shell.streams import keep_talking, reader_left


def run(
    package: str,
    summary: str,
    commands: Mapping[str, str],
    as_flags: Callable[[list[str]], list[str]] = list,
) -> NoReturn:
    """Runs `python -m PACKAGE COMMAND ...` from sys.argv and exits with its exit code.

    `as_flags` rewrites the arguments after the command into flags that absl knows.
    """
    keep_talking()
    escape_output()
    arguments = sys.argv[1:]
    try:
        if not arguments or arguments[0] in ("-h", "--help", "help"):
            print(_overview(package, summary, commands))
            sys.exit(0 if arguments else ExitCode.USAGE)
        module = _command(package, arguments[0], commands)
        if {"-h", "--help", "-help"} & set(arguments[1 : end_of_flags(arguments)]):
            print(_help(package, arguments[0], module))
            sys.exit(0)
        module.main(_parse(arguments[0], as_flags(arguments[1:])))
    except UserError as error:
        print(f"{package} {arguments[0]}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        if not reader_left(1):  # another pipe or connection of the command's: a fault
            raise
        # `| head` closed the pipe: not an error of anyone's
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except KeyboardInterrupt:
        print(f"\n{package} {arguments[0]}: stopped", file=sys.stderr)
        sys.stdout.flush()
        # Not sys.exit: the native threads of Beam or TensorFlow would abort the process.
        os._exit(ExitCode.INTERRUPTED)
    except Exception as error:
        limit, mistake = limit_reached(error), own_mistake(error)
        if not limit and not mistake:
            raise
        print(f"{package} {arguments[0]}: {limit or mistake}", file=sys.stderr)
        if mistake and not limit:
            sys.exit(mistake.exit_code)
        sys.stdout.flush()
        # Not sys.exit: what is left of Beam's threads would wait for one that cannot be started.
        os._exit(ExitCode.CONFIG)
    sys.exit(0)


def print_json(value: Mapping[str, Any]) -> None:
    """The one JSON object that `--json` promises on stdout."""
    print(json_text(value))


def no_arguments(arguments: list[str]) -> None:
    """Raises UsageError if a command that takes flags only got something else."""
    if arguments:
        raise UsageError(f"unexpected argument '{arguments[0]}'; flags are --NAME=VALUE")


def one_argument(arguments: list[str], name: str) -> str:
    """The one positional argument of a command; raises UsageError for none or more."""
    if len(arguments) != 1:
        raise UsageError(f"one {name} expected, got {' '.join(arguments) or 'none'}")
    return arguments[0]


def end_of_flags(arguments: list[str]) -> int:
    """The index of `--`, behind which nothing is a flag of ours; the length if there is none."""
    return arguments.index("--") if "--" in arguments else len(arguments)


def say(message: str) -> None:
    """Talk goes to stderr; stdout is for results."""
    print(message, file=sys.stderr, flush=True)


def _overview(package: str, summary: str, commands: Mapping[str, str]) -> str:
    width = max(map(len, commands))
    rows = "\n".join(f"  {name:<{width}}  {line}" for name, line in commands.items())
    return f"{summary.strip()}\n\n{rows}\n\n`python -m {package} COMMAND --help` for its flags."


def _command(package: str, name: str, commands: Mapping[str, str]) -> Any:
    if name not in commands:
        hint = did_you_mean(name, commands)
        raise UsageError(f"unknown command{hint}; commands are {', '.join(commands)}")
    return importlib.import_module(f"{package}.commands.{name}")


def _parse(name: str, arguments: list[str]) -> list[str]:
    try:
        return list(flags.FLAGS([name, *arguments]))[1:]
    except flags.Error as error:
        missing = re.findall(r"Flag --(\S+) must have a value other than None", str(error))
        text = " and ".join(f"--{flag}=..." for flag in missing)
        text = f"{text} is missing" if missing else "; ".join(str(error).strip().splitlines())
        raise UsageError(f"{text} (--help lists the flags)") from None


def _help(package: str, name: str, module: Any) -> str:
    # absl's own flags are left out: only what the command defines is worth reading.
    usage = (module.__doc__ or "").strip()
    return f"python -m {package} {name}\n\n{usage}\n\n{flags.FLAGS.module_help(module)}"
