"""Progress of long work: a bar on a terminal, a line a minute in a log."""

from __future__ import annotations

import contextlib
import io
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from preprocess.shell.escaped_output import bar_stream

if TYPE_CHECKING:
    from tqdm import tqdm

LOG_SECONDS = 60.0


def on_terminal() -> bool:
    """Whether stderr is a terminal; False if it is closed."""
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):
        return False


def terminal_bar(
    iterable: Iterable[Any] | None = None, shown: bool = True, **options: Any
) -> tqdm[Any]:
    """A tqdm bar where stderr is a terminal, nothing elsewhere.

    Args:
      iterable: to draw it over; None = it is moved by `update(n)`.
      shown: False draws none on a terminal either.
      options: of tqdm.
    """
    from tqdm import tqdm

    disabled = None if shown else True
    return tqdm(iterable, disable=disabled, file=bar_stream(), **options)


def progress(total: int | None, unit: str, what: str, **options: Any) -> tqdm[Any]:
    """A tqdm bar to `update(n)`; where stderr is no terminal, one that prints a line each
    LOG_SECONDS: what was done of how much, the rate, the time left and the postfix.

    Args:
      total: of units; None if it is not known.
      unit: what is counted, with a blank before a word.
      what: is being done, in front of the line.
      options: of tqdm.
    """
    from tqdm import tqdm  # not at the top: --help does without it

    if on_terminal():
        return terminal_bar(total=total, unit=unit, desc=what, **options)

    class LogLines(tqdm):
        """Prints lines in place of a bar, and none where the work takes less than a minute."""

        printed = time.monotonic()

        def display(self, msg: str | None = None, pos: int | None = None) -> None:
            """Called by tqdm whenever the bar might have moved."""
            if time.monotonic() < self.printed + LOG_SECONDS or not self.n:
                return
            self.printed = time.monotonic()
            with contextlib.suppress(OSError, ValueError):  # stderr was closed
                print(self.format_meter(**self.format_dict), file=sys.stderr, flush=True)

    of = " of {total_fmt} ({percentage:.0f} %)" if total else ""
    left = ", {remaining} left" if total else ""
    layout = "{desc}: {n_fmt}" + of + ", {rate_fmt}" + left + "{postfix}"
    # What tqdm writes by itself, to begin and end a line on a terminal, goes nowhere.
    return LogLines(
        total=total,
        unit=unit,
        desc=what,
        bar_format=layout,
        miniters=1,
        mininterval=0,
        file=io.StringIO(),
        **options,
    )
