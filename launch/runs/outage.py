"""Reports outages of a service: one message at the start, and one at the end.

For the whole process, as everything it waits for or follows is affected by the same outage.
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
    """Reports that the service does not respond, once for each outage."""
    global _noted
    with _lock:
        if not _noted:
            say(message)
        _noted = True


def failed() -> None:
    """A request had no response, which may or may not become an outage."""
    global _failed
    _failed = time.monotonic()


def is_recent() -> bool:
    """Whether a request failed a short while ago: a server that responds now may just have
    started.
    """
    return time.monotonic() - _failed < RECENT_SECONDS


def over() -> None:
    """The service responded."""
    global _noted
    with _lock:
        if _noted:
            say("it responds again")
        _noted = False


def wait_out(error: UnavailableError) -> None:
    """Reports an outage; raises the error again if waiting would not help."""
    if not getattr(error, "passing", False):
        raise error
    note(f"{error}; continuing when it does")
