r"""Takes a TensorBoard trace of the next calls of a running training.

    python -m trainer capture RUN [--calls=10] [--workers=0|1,3|all] [--timeout=60]

Leaves a request in the run directory, which each worker checks once a second, and waits for the
trace: it works wherever RUN is visible, and needs no port. Prints the folder of each trace and its
steps.

Exits with 69 if no training responds, with 75 if one does and takes no trace: the run ends, another
capture is in progress, or the calls did not run in time.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from absl import flags

from preprocess.shell.cli import print_json
from preprocess.shell.errors import UsageError
from trainer.config.bounds import LEAST_TRACED_CALLS
from trainer.monitoring.capture_client import capture
from trainer.monitoring.capture_requests import MOST_CALLS

_MOST_SECONDS = 3600.0

_CALLS = flags.DEFINE_integer(
    "calls",
    10,
    "Calls to trace: steps, or steps_per_execution of them.",
    LEAST_TRACED_CALLS,
    MOST_CALLS,
)
_WORKERS = flags.DEFINE_string(
    "workers", "0", "Whose calls to trace: ranks, such as 0 or 1,3; or all."
)
_TIMEOUT = flags.DEFINE_float(
    "timeout", 60.0, "Seconds to wait for the traces to be written.", 1.0, _MOST_SECONDS
)
_JSON = flags.DEFINE_bool(
    "json", False, "Print one JSON object: traces [{worker, trace, steps [first, last]}]."
)


def main(arguments: list[str]) -> None:
    """Leaves the request, waits, and prints where the traces are."""
    if len(arguments) != 1:
        raise UsageError(f"takes one RUN, received {' '.join(arguments) or 'none'}")
    traces = capture(Path(arguments[0]), _CALLS.value, _ranks(_WORKERS.value), _TIMEOUT.value)
    if _JSON.value:
        print_json({"traces": [dataclasses.asdict(trace) for trace in traces]})
        return
    for trace in traces:
        worker = f"worker {trace.worker}: " if len(traces) > 1 else ""
        print(f"{worker}{trace.trace}: steps {trace.steps[0]} to {trace.steps[1]}")


def _ranks(text: str) -> tuple[int, ...]:
    """The workers of a flag; () = all."""
    if text == "all":
        return ()
    ranks = text.split(",")
    if not all(rank.isascii() and rank.isdecimal() and len(rank) < 5 for rank in ranks):
        raise UsageError(f"--workers='{text}': takes ranks, such as 0 or 1,3, or all")
    return tuple(sorted({int(rank) for rank in ranks}))
