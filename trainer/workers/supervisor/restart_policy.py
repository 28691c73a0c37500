"""The restart policy: what follows when the workers of a run have ended.

| a worker ended                                     | what follows                        |
|----------------------------------------------------|-------------------------------------|
| with 64, 65, 70 or 78                              | the run fails, at once              |
| rank 0 with 0 (independent workers: all with 0)    | the run is finished                 |
| with 75 or 76, by SIGTERM, or lost with its node   | all start again, not counted        |
| in any other way                                   | all start again, counted, within    |
|                                                    | the budget; beyond it the run fails |

The first row that applies to any worker decides, except that a counted end takes precedence over
one that is not: workers that lose a peer exit with 76 because of it. The codes are those of
preprocess/shell/exit_codes.py, from which the rules for Kubernetes are derived too. There, SIGTERM
comes with the condition DisruptionTarget, which represents the third row.
"""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Mapping

from preprocess.shell.exit_codes import FINAL, UNCOUNTED, ExitCode

# What follows; the names are used in records on disk.
FINISHED, RETRY, RETRY_UNCOUNTED, FAIL = "finished", "retry", "retry-uncounted", "fail"


@dataclasses.dataclass(frozen=True)
class Decision:
    """What follows an attempt, its exit code, the rank that caused it, and the reason."""

    action: str
    exit_code: int
    rank: int | None
    reason: str


def follows(code: int | None) -> str:
    """The row of the table that applies to one worker, by its exit code.

    Args:
      code: minus the signal's number if a signal killed it; None if it was lost.
    """
    if code is None or code == -signal.SIGTERM or code in UNCOUNTED:
        return RETRY_UNCOUNTED
    if code in FINAL:
        return FAIL
    return FINISHED if code == ExitCode.DONE else RETRY


def decide(codes: Mapping[int, int | None], counted: int, max_restarts: int) -> Decision:
    """The decision when workers that train together have all ended.

    Rank 0 exits last, when everything is written, so its 0 is the run's. A failure is counted once
    for the whole group.

    Args:
      codes: rank -> exit code, as `follows` takes it; of several causes the first is named.
      counted: number of counted restarts so far.
      max_restarts: number of counted restarts that are allowed.
    """
    causes: dict[str, tuple[int, int | None]] = {}
    for rank, code in codes.items():
        causes.setdefault(follows(code), (rank, code))
    if FAIL in causes:
        rank, code = causes[FAIL]
        assert code is not None
        return Decision(FAIL, code, rank, f"rank {rank} ended with {int(code)}, never retried")
    if codes.get(0) == ExitCode.DONE:
        return Decision(FINISHED, ExitCode.DONE, None, "rank 0 finished")
    if RETRY in causes:
        rank, code = causes[RETRY]
        assert code is not None
        reason = f"rank {rank} {how_it_ended(code)}"
        if counted >= max_restarts:
            return Decision(FAIL, shell_code(code), rank, f"{reason}, after {counted} restarts")
        return Decision(RETRY, shell_code(code), rank, reason)
    lost = next((rank for rank, code in codes.items() if code is None), None)
    reason = "saved, or lost a peer" if lost is None else f"rank {lost} was lost"
    return Decision(RETRY_UNCOUNTED, ExitCode.SAVED, lost, reason)


def decide_independent(
    codes: Mapping[int, int | None], counted: int, max_restarts: int
) -> Decision:
    """The decision when processes that share a study, but no steps, have all ended.

    Each ends with 0 when no trial is left for it, so all are restarted until they do.
    """
    left = {rank: code for rank, code in codes.items() if code != ExitCode.DONE}
    if not left:
        return Decision(FINISHED, ExitCode.DONE, None, "every worker finished")
    return decide(left, counted, max_restarts)


def how_it_ended(code: int) -> str:
    """`was killed by SIGKILL` or `ended with 3`."""
    if code < 0:
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:  # a real-time signal, or a number from a file that no run wrote
            return f"was killed by signal {-code}"
    return f"ended with {int(code)}"


def shell_code(code: int) -> int:
    """The exit code that a shell reports: 128 + the signal's number."""
    return 128 - code if code < 0 else code
