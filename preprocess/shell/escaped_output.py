"""Where text leaves a command: control characters are shown as escapes, never obeyed.

Names, logs and messages come from datasets, run directories, clusters and servers. One of them
that holds an escape sequence could clear the screen, fill the clipboard or forge a line. All that
a command prints goes through here, so no message has to think of it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import Any, TextIO, cast

# C0 without tab and line feed, DEL and C1; what turns the direction of text around; halves of
# surrogate pairs, which are bytes of a file name that is no UTF-8 and cannot be encoded.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def escaped(text: str) -> str:
    r"""Text with control characters as `\u001b`, which inside JSON has the same value."""
    return _CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def has_controls(text: str) -> bool:
    """Whether text holds what `escaped` would change, or a tab or line feed."""
    return "\n" in text or "\t" in text or _CONTROLS.search(text) is not None


class EscapedStream:
    """A text stream that escapes what is written to it and is the stream behind it otherwise."""

    def __init__(self, stream: TextIO) -> None:
        self.unescaped = stream

    def write(self, text: str) -> int:
        """Returns the length of what was given, as every stream does."""
        self.unescaped.write(escaped(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Writes one after the other."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unescaped, name)


def escape_output() -> None:
    """From now on stdout and stderr of this process are escaped; a second time changes nothing."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, EscapedStream):
            setattr(sys, name, cast(TextIO, EscapedStream(stream)))


def bar_stream() -> TextIO:
    """Stderr for a progress bar, which moves the cursor itself; only our own words go there."""
    stream: Any = sys.stderr
    return cast(TextIO, stream.unescaped if isinstance(stream, EscapedStream) else stream)
