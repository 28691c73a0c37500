"""`--config=FILE` and `--config.KEY=VALUE` on a command line; absl need not know the keys."""

from __future__ import annotations

import re
from collections.abc import Sequence

from preprocess.shell.errors import UsageError
from trainer.config.keys import KEYS
from trainer.config.values import FALSE_WORDS, TRUE_WORDS


def parse_config_flags(
    argv: Sequence[str],
) -> tuple[list[str], str | None, list[tuple[str, str]]]:
    """Takes `--config` and `--config.KEY` out of a command line.

    Both `--config=X` and `--config X` are understood, and for keys likewise; a key that is
    true or false may stand alone (`--config.deterministic`), and takes the next word only
    where that is a truth value. What follows `--` is left alone.

    Args:
      argv: the words of a command line, the program's name included or not.

    Returns:
      The other words in their order; the path or preset name, None if there is none;
      (key, text) pairs in their order, the later one wins.

    Raises:
      UsageError: a flag without its value, or `--config` twice.
    """
    rest: list[str] = []
    path: str | None = None
    overrides: list[tuple[str, str]] = []
    words = list(argv)
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if word == "--":
            rest += words[at - 1 :]
            break
        match = re.fullmatch(r"--?config(?:\.([^=]*))?(?:=(.*))?", word, re.DOTALL)
        if not match:
            rest.append(word)
            continue
        name, value = match.groups()
        if value is None:
            following = words[at] if at < len(words) and not words[at].startswith("--") else None
            if name in KEYS and isinstance(KEYS[name].default, bool):
                if following is None or following.lower() not in TRUE_WORDS + FALSE_WORDS:
                    following, value = None, "true"
            elif following is None:
                raise UsageError(f"{word} came without a value: write {word}=VALUE")
            if following is not None:
                value, at = following, at + 1
        assert value is not None
        if name is not None:
            overrides.append((name, value))
        elif path is not None:
            raise UsageError(f"--config was given twice: {path} and {value}")
        else:
            path = value
    return rest, path, overrides
