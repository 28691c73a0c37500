"""Restricts the texts of a specification, so that none can become an option, a line or an escape.

They are inserted into batch scripts, command lines and manifests, and a record's may come from
anyone.
"""

from __future__ import annotations

import re

from preprocess.shell.errors import UsageError
from preprocess.shell.escaped_output import has_controls

# Partitions (several with commas), accounts, namespaces, classes, image references: no blank, no
# quote, and no leading dash, which would make it an option.
_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.,@:+/-]*")
SHOWN = 60  # characters of a rejected value in a message


def check_word(flag: str, value: str) -> None:
    """Raises UsageError for a value that is neither empty nor a single plain word."""
    if value and not _WORD.fullmatch(value):
        raise UsageError(
            f"--{flag}={value[:SHOWN]!a}: use letters, digits and _ . , @ : + / - only, no dash "
            "first"
        )


def check_text(what: str, value: str) -> None:
    """Raises UsageError for a text with control characters, including line feeds."""
    if has_controls(value):
        raise UsageError(f"{what} {value[:SHOWN]!a} has a control character or line feed")
