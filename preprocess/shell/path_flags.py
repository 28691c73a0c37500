"""Flags that take a path: `~` is the user's home folder there, as it is behind a space.

No shell expands the `~` of `--output=~/dataset`, and a folder called `~` is a `rm -r ~` away from
the loss of the home folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from absl import flags

# Flags that are defined here belong to the module that calls: its help lists them.
flags.disclaim_key_flags()


def expanded(path: str) -> str:
    """The path with the home folder for a leading `~` or `~user`; raises ValueError for a user
    that there is not.
    """
    whole = os.path.expanduser(path)
    if path.startswith("~") and whole == path:
        raise ValueError(f"'{path}': no such user's home folder; for a file of that name, ./{path}")
    return whole


def expanded_words(arguments: Iterable[str]) -> list[str]:
    """`--FLAG=~/PATH` with the home folder in it, other words as they are."""
    words = []
    for word in arguments:
        flag, equals, value = word.partition("=")
        home = flag.startswith("--") and value.startswith("~/")
        words.append(f"{flag}{equals}{os.path.expanduser(value)}" if home else word)
    return words


def define_path(
    name: str, default: str | None, help_text: str, required: bool = False
) -> flags.FlagHolder[str]:
    """As `flags.DEFINE_string`, for a path."""
    parser = _PathParser()
    return flags.DEFINE(
        parser, name, default, help_text, serializer=flags.ArgumentSerializer(), required=required
    )


def define_repeated_path(
    name: str, default: list[str] | None, help_text: str, required: bool = False
) -> flags.FlagHolder[list[str]]:
    """As `flags.DEFINE_multi_string`, for a path that may be given several times."""
    return flags.DEFINE_multi(
        _PathParser(),
        flags.ArgumentSerializer(),
        name,
        default,
        help_text,
        required=required,
    )


def define_paths(
    name: str, default: str | None, help_text: str, required: bool = False
) -> flags.FlagHolder[list[str]]:
    """As `flags.DEFINE_list`, for paths separated by commas."""
    parser = _PathsParser()
    return flags.DEFINE(
        parser, name, default, help_text, serializer=flags.CsvListSerializer(","), required=required
    )


class _PathParser(flags.ArgumentParser[str]):
    def parse(self, argument: str) -> str:
        return expanded(argument)

    def flag_type(self) -> str:
        return "path"


class _PathsParser(flags.ListParser):
    def parse(self, argument: str | list[str]) -> list[str]:
        return [expanded(path) for path in super().parse(argument)]
