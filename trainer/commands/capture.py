r"""Takes a TensorBoard trace of the next calls of a training that is under way.

    python -m trainer capture HOST:PORT [--calls=10] [--timeout=60]

The training listens where it was started with --config.profile.port=PORT, by default on localhost
alone; worker N of several listens on PORT + N. Prints the folder of the trace, on the training's
machine, and the steps in it.

Ends with 69 where no training answers at the address, with 75 where it answers and takes no trace:
the run ends, another capture is under way, or the calls did not run in time.
"""

from __future__ import annotations

from absl import flags

from trainer.capture import LEAST_CALLS, MOST_CALLS, MOST_SECONDS
from trainer.capture_client import ask
from trainer.cli import print_json
from trainer.errors import UsageError

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
    answer = ask(arguments[0], _CALLS.value, _TIMEOUT.value)
    if _JSON.value:
        print_json(answer)
    else:
        first, last = answer["steps"]
        print(f"{answer['trace']}: steps {first} to {last}")
