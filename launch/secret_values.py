"""Recognises secrets among environment variables by their name or value.

The values of `--env` are in manifests, batch scripts and records, where others can read them.
"""

from __future__ import annotations

import re

# Words of a name, between underscores and other separators.
_WORDS = frozenset(
    "secret secrets pass passwd passphrase pgpass pwd password passwords token tokens credential "
    "credentials key apikey accesskey privatekey secretkey pat auth jwt bearer cookie".split()
)
_ENDS = ("secret", "password", "passwd", "passphrase", "token", "apikey", "credentials")
_LOOKS = re.compile(
    r"""
    [a-z][a-z0-9+.-]*://[^/\s:@]*:[^/\s@]+@          # URL with a password
    | -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----
    | \bgh[pousr]_[A-Za-z0-9]{20} | \bgithub_pat_ | \bglpat-
    | \bAKIA[0-9A-Z]{16} | \bAIza[0-9A-Za-z_-]{30} | \bya29\.
    | \bhf_[A-Za-z0-9]{20} | \bsk-[A-Za-z0-9_-]{20} | \bxox[abprs]-
    | \beyJ[A-Za-z0-9_-]{10,}\.eyJ                   # JSON web token
    """,
    re.VERBOSE | re.IGNORECASE,
)


def secret_reason(name: str, value: str) -> str:
    """Why a variable is considered a secret; "" if it is not."""
    words = re.split(r"[^a-z0-9]+", name.lower())
    if any(word in _WORDS or word.endswith(_ENDS) for word in words):
        return "its name is that of a secret"
    return "its value looks like a secret" if _LOOKS.search(value) else ""
