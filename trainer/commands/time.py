r"""Shows where the wall-clock time of a run went, over all its attempts, and its goodput.

    python -m trainer time RUN [--worker=0] [--json]

Goodput is the share of the time in steps that were kept, minus their waiting for input. Also works
during a run. RUN/report.html draws the same.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from preprocess.shell.cli import print_json
from preprocess.shell.errors import DataError, UsageError

_WORKER = flags.DEFINE_integer("worker", 0, "Whose time: the rank of a worker.", 0)
_JSON = flags.DEFINE_bool(
    "json",
    False,
    "Print one JSON object: wall_seconds, goodput, seconds by kind, attempts, redone_steps.",
    allow_override=True,
)


def main(arguments: list[str]) -> None:
    """Reads the timeline of a run and prints its account."""
    if len(arguments) != 1:
        raise UsageError(f"takes one RUN, received {' '.join(arguments) or 'none'}")
    from trainer.monitoring.time_account import account, read_attempts
    from trainer.report.time_words import lines

    path = Path(arguments[0]) / "timeline" / f"worker-{_WORKER.value}.jsonl"
    try:
        attempts = read_attempts(path)
    except OSError as error:
        raise DataError(f"'{path}' cannot be read: {error.strerror}") from None
    if not attempts:
        raise DataError(
            f"no timeline in '{path}': no training has written it, or an earlier version did"
        )
    spent = account(attempts)
    if _JSON.value:
        print_json(spent.as_json())
        return
    print("\n".join(lines(spent)))
