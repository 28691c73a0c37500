r"""Takes a TensorBoard trace of the next calls of a training that is under way.

    python -m trainer capture HOST:PORT [--calls=10] [--timeout=60]

The training listens where it was started with --config.profile.port=PORT, by default on localhost
alone; worker N of several listens on PORT + N. Prints the folder of the trace, on the training's
machine, and the steps in it.

Ends with 69 where no training answers at the address, with 75 where it answers and takes no trace:
the run ends, another capture is under way, or the calls did not run in time.
"""

from __future__ import annotations

import http.client
import json
import re
from typing import Any

from absl import flags

from trainer.capture import HEADER, LEAST_CALLS, MOST_CALLS, MOST_SECONDS, PATH
from trainer.cli import print_json
from trainer.errors import RestartError, UnavailableError, UsageError

# After the time in which the calls should run: for the training to say that they did not.
SPARE_SECONDS = 10.0

_ADDRESS = re.compile(r"(?:http://)?(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})/?")

_CALLS = flags.DEFINE_integer(
    "calls", 10, "Calls to trace: steps, or steps_per_execution of them.", LEAST_CALLS, MOST_CALLS
)
_TIMEOUT = flags.DEFINE_float(
    "timeout", 60.0, "Seconds to wait for the trace to be written.", 1.0, MOST_SECONDS
)
_JSON = flags.DEFINE_bool("json", False, "Print one JSON object: trace, steps [first, last].")


def main(arguments: list[str]) -> None:
    """Asks, waits, and prints where the trace is."""
    if len(arguments) != 1:
        raise UsageError(f"takes one HOST:PORT, received {' '.join(arguments) or 'none'}")
    (address,) = arguments
    form = _ADDRESS.fullmatch(address)
    if not form or not 0 < int(form[2]) < 65_536:
        raise UsageError(f"received '{address}', takes HOST:PORT, such as localhost:6010")
    answer = _ask(address, form[1].strip("[]"), int(form[2]))
    if _JSON.value:
        print_json(answer)
    else:
        first, last = answer["steps"]
        print(f"{answer['trace']}: steps {first} to {last}")


def _ask(address: str, host: str, port: int) -> dict[str, Any]:
    asked = json.dumps({"calls": _CALLS.value, "timeout": _TIMEOUT.value})
    connection = http.client.HTTPConnection(host, port, timeout=SPARE_SECONDS)
    try:
        connection.connect()
        connection.sock.settimeout(_TIMEOUT.value + SPARE_SECONDS)
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
