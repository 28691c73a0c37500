"""The command line's shell: find the command, parse its flags, turn errors into exit codes.

A command is a module `PACKAGE.commands.NAME` that defines its absl flags at import, has its
help as docstring, and a `main(arguments)`. It is imported only when called, so that help
does not cost TensorFlow.
"""

from __future__ import annotations

import difflib
import importlib
import os
import re
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

from absl import flags

from trainer.errors import UsageError, UserError
from trainer.json_text import json_text


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
        module.main(_parse(arguments[0], _config_as_flags(arguments[1:])))
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
    print(json_text(value))


def no_arguments(arguments: list[str]) -> None:
    """Raises UsageError where a command that takes flags only got something else."""
    if arguments:
        raise UsageError(f"unexpected argument '{arguments[0]}'; flags are --NAME=VALUE")


def say(message: str) -> None:
    """Talk goes to stderr; stdout is for results."""
    print(message, file=sys.stderr, flush=True)


def _command(package: str, name: str, commands: Mapping[str, str]) -> Any:
    if name not in commands:
        near = difflib.get_close_matches(name, commands, n=1)
        hint = f" (did you mean '{near[0]}'?)" if near else ""
        raise UsageError(f"no such command{hint}; there are {', '.join(commands)}")
    return importlib.import_module(f"{package}.commands.{name}")


def _end_of_flags(arguments: list[str]) -> int:
    return arguments.index("--") if "--" in arguments else len(arguments)


def _config_as_flags(arguments: list[str]) -> list[str]:
    """`--config.KEY=VALUE` as `--override=KEY=VALUE`: absl need not know the keys."""
    ours = arguments[: _end_of_flags(arguments)]
    if not any(argument.lstrip("-").startswith("config") for argument in ours):
        return arguments
    from trainer.config.flags import parse_config_flags

    rest, path, overrides = parse_config_flags(arguments)
    config = [f"--config={path}"] if path is not None else []
    return [*config, *(f"--override={key}={value}" for key, value in overrides), *rest]


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
