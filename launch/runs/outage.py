"""A service that does not respond for a while: one notice, and one when it is back.

Of the whole process, as everything that it waits for or follows meets the same outage.
"""

from __future__ import annotations

import math
import threading
import time

from preprocess.shell.cli import say
from preprocess.shell.errors import UnavailableError

RECENT_SECONDS = 60.0

_lock = threading.Lock()
_noted = False
_failed = -math.inf  # on the monotonic clock


def note(message: str) -> None:
    """Says that the service does not respond, once for an outage."""
    global _noted
    with _lock:
        if not _noted:
            say(message)
        _noted = True


def failed() -> None:
    """A request had no answer, which may or may not become an outage."""
    global _failed
    _failed = time.monotonic()


def is_recent() -> bool:
    """Whether a request had no answer a short while ago: who answers now may have just started."""
    return time.monotonic() - _failed < RECENT_SECONDS


def over() -> None:
    """It responded."""
    global _noted
    with _lock:
        if _noted:
            say("it responds again")
        _noted = False


def wait_out(error: UnavailableError) -> None:
    """Notes an outage; raises the error again where waiting would not help."""
    if not getattr(error, "passing", False):
        raise error
    note(f"{error}; continuing when it does")
