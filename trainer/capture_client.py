"""Asks a training for a trace; see trainer/capture.py for the other side."""

from __future__ import annotations

import http.client
import json
import re
from typing import Any

from trainer.capture import HEADER, PATH
from trainer.errors import RestartError, UnavailableError, UsageError

# After the time in which the calls should run: for the training to say that they did not.
SPARE_SECONDS = 10.0

_ADDRESS = re.compile(r"(?:http://)?(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})/?")


def ask(address: str, calls: int, timeout: float) -> dict[str, Any]:
    """Has a training trace its next calls, and waits for it.

    Args:
      address: HOST:PORT.
      calls: how many.
      timeout: seconds within which they should have run.

    Returns:
      trace: the folder, on the training's machine; steps: [first, last] in it.

    Raises:
      UsageError: the address is malformed, or the training refuses the question.
      UnavailableError: no training answers there.
      RestartError: it takes no trace now.
    """
    form = _ADDRESS.fullmatch(address)
    if not form or not 0 < int(form[2]) < 65_536:
        raise UsageError(f"received '{address}', takes HOST:PORT, such as localhost:6010")
    host, port = form[1].strip("[]"), int(form[2])
    asked = json.dumps({"calls": calls, "timeout": timeout})
    connection = http.client.HTTPConnection(host, port, timeout=SPARE_SECONDS)
    try:
        connection.connect()
        connection.sock.settimeout(timeout + SPARE_SECONDS)
    except OSError as error:
        raise UnavailableError(
            f"{address} does not answer ({error.strerror or error}): is a training there, started "
            "with --config.profile.port?"
        ) from None
    try:
        connection.request("POST", PATH, asked, {HEADER: "1", "Content-Type": "application/json"})
        response = connection.getresponse()
        answer = json.loads(response.read())
        if response.status == 200:
            return {"trace": answer["trace"], "steps": answer["steps"]}
        problem = str(answer["error"])
    except TimeoutError:
        raise UnavailableError(f"{address} takes the question and gives no answer") from None
    except ConnectionError:
        raise RestartError(f"{address}: the run ended before it answered") from None
    except (OSError, http.client.HTTPException, ValueError, TypeError, KeyError):
        raise UnavailableError(f"{address} answers, but not as a training does") from None
    finally:
        connection.close()
    if response.status in (409, 503, 504):
        raise RestartError(f"{address}: {problem}")
    raise UsageError(f"{address}: {problem}")
