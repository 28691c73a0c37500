"""Whether a server answers, within a time limit."""

from __future__ import annotations

import http.client
import threading
import urllib.error
import urllib.request

PROBE_SECONDS = 10.0


def probe(url: str, seconds: float = PROBE_SECONDS) -> str | None:
    """What is wrong with a server, as a message, within `seconds`; None if it responds.

    Whatever it answers: a bucket that wants credentials, a server without HEAD, a module that does
    not exist are left to TensorFlow, which does not hang on those. Proxies of the environment are
    used, as TensorFlow does.
    """
    problems: list[str | None] = []

    def ask() -> None:
        request = urllib.request.Request(url, method="HEAD")
        try:
            urllib.request.urlopen(request, timeout=seconds).close()
            problems.append(None)
        except urllib.error.HTTPError:
            problems.append(None)
        except (OSError, ValueError, http.client.HTTPException) as error:
            problems.append(str(getattr(error, "reason", error)))

    # A thread on top of the socket's own limit, which does not cover looking up the name.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return problems[0] if problems else f"no answer within {seconds:g} s"
