"""The tables of docs/ that are made from the code, as Markdown."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence

from preprocess.shell.exit_codes import ExitCode
from tests.docs.command_flags import PACKAGES, Command, Flag, all_commands
from trainer.bottleneck import thresholds
from trainer.bottleneck.remedies import REMEDIES
from trainer.config.keys import KEYS, SECTIONS

# absl's names of types, as a reader would say.
KINDS = {
    "bool": "true or false",
    "int": "integer",
    "float": "number",
    "multi string": "text, may be repeated",
    "multi path": "path, may be repeated",
    "string": "text",
    "comma separated list of strings": "list, with commas",
}
# What a module of flags that several commands share is called.
SHARED = {
    "preprocess.commands.request": "Flags of `build` and `plan`",
    "preprocess.commands.staged": "Flags of `fetch` and `push`",
    "trainer.commands.trust_flag": "Flag of the commands that load a trained run",
    "launch.flags": "Flags that say where and how a run starts",
    "launch.start": "Flags of the commands that start a run",
    "launch.namespace": "Flag of the commands that look into a cluster",
    "launch.commands.one_run": "Flag of the commands that work on one run",
}


_ENUM = re.compile(r"(?:<([^>]*)>: )?(.*)", re.DOTALL)


def exit_codes() -> str:
    """A row a code: its name, meaning, and what a supervisor does about it."""
    rows = [
        (
            str(int(code)),
            f"`{code.name}`",
            code.meaning,
            "yes" if code.retried else "no",
            "yes" if code.counted else "no",
        )
        for code in ExitCode
    ]
    return _table(("code", "name", "meaning", "retried", "counted"), rows)


def configuration_keys() -> str:
    """A table a section, its keys with default, allowed values and meaning."""
    parts = [_keys([name for name in KEYS if "." not in name])]
    for section, fields in SECTIONS.items():
        names = [name for name in KEYS if name.startswith(f"{section}.")]
        parts += [f"## {section}", " ".join((fields.__doc__ or "").split()), _keys(names)]
    return "\n\n".join(parts)


def command_lines() -> str:
    """A section a package, in it one a command: its help and flags."""
    parts = []
    for package in PACKAGES:
        commands = [command for command in all_commands() if command.package == package]
        rows = [(f"[`{c.name}`](#{package}-{c.name})", c.summary) for c in commands]
        parts += [f"## {package}", _table(("command", "what it does"), rows)]
        for command in commands:
            parts += _command(command)
        parts += _shared(commands)
    return "\n\n".join(parts)


def threshold_values() -> str:
    """A row a limit: its name, value, and the comment above it or behind it."""
    rows, comment = [], ""
    for line in inspect.getsource(thresholds).partition('"""\n\n')[2].splitlines():
        if line.startswith("#"):
            comment = f"{comment} {line.removeprefix('#').strip()}".strip()
            continue
        names, _, rest = line.partition(" = ")
        value, _, behind = rest.partition("  # ")
        if names:
            rows.append((f"`{names}`", value, behind or comment))
        comment = ""
    return _table(("name", "value", "what it is for, and its source"), rows)


def remedies() -> str:
    """A row a remedy: what to do, and the keys that do it."""
    rows = [
        (
            re.sub(r"\{\w+(:[^}]*)?\}", "N", remedy.text),
            ", ".join(f"`{key}`" for key in remedy.change),
            "yes" if remedy.change and remedy.same_training else "no",
        )
        for remedy in REMEDIES.values()
    ]
    return _table(("remedy", "keys", "made by `--apply`"), rows)


def _keys(names: Iterable[str]) -> str:
    rows = [
        (f"`{name}`", f"`{_default(KEYS[name].default)}`", KEYS[name].allowed, KEYS[name].meaning)
        for name in names
    ]
    return _table(("key", "default", "allowed", "meaning"), rows)


def _default(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "''"
    return str(value) if value != "" else "''"


def _command(command: Command) -> list[str]:
    own = [flag for flag in command.flags if flag.module not in SHARED]
    shared = sorted({flag.module for flag in command.flags if flag.module in SHARED})
    parts = [f"### {command.package} {command.name}", f"```text\n{command.usage}\n```"]
    if own:
        parts.append(_flags(own))
    if shared:
        links = [f"[{SHARED[module]}](#{_anchor(SHARED[module])})" for module in shared]
        parts.append(f"{'Also' if own else 'Takes'}: {'; '.join(links)}.")
    return parts


def _shared(commands: Sequence[Command]) -> list[str]:
    found = {flag.module: [] for c in commands for flag in c.flags if flag.module in SHARED}
    for module, flags in found.items():
        for command in commands:
            flags += [f for f in command.flags if f.module == module and f not in flags]
    return [
        part
        for module, flags in sorted(found.items())
        for part in (f"### {SHARED[module]}", _flags(flags))
    ]


def _flags(flags: Iterable[Flag]) -> str:
    rows = []
    for flag in flags:
        # absl writes the values of an enum, and that a flag may be repeated, into its help.
        values, text = _ENUM.fullmatch(flag.help).groups()
        text = re.sub(r";\s+repeat this option.*", "", text, flags=re.DOTALL)
        kind = values.replace("|", ", ") if values else KINDS.get(flag.kind, flag.kind)
        rows.append((f"`--{flag.name}`", kind, f"`{flag.default}`" if flag.default else "", text))
    return _table(("flag", "value", "default", "meaning"), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", "<br>")


def _anchor(heading: str) -> str:
    return "".join(c for c in heading.lower().replace(" ", "-") if c.isalnum() or c == "-")


TABLES = {
    "exit-codes": exit_codes,
    "configuration": configuration_keys,
    "command-line": command_lines,
    "thresholds": threshold_values,
    "remedies": remedies,
}
"""Name of a table -> what makes it."""
