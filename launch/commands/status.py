r"""How a run is: its state, ranks, restarts, step, time left and goodput.

    python -m launch status RUN [--json]

RUN is a name or a run directory. Goodput is the share of the time since the run was submitted
that was spent in training steps; step and time left are a second old at the most.
"""

from __future__ import annotations

import dataclasses
import time

from absl import flags

from launch.commands.one_run import one_run
from trainer.cli import print_json

_JSON = flags.DEFINE_bool("json", False, "Print one JSON object.")


def main(arguments: list[str]) -> None:
    """Looks and tells."""
    record = one_run("status", arguments)
    from launch.backends.choose import backend
    from launch.progress import progress
    from launch.watch import summary

    status = backend(record.spec.backend).status(record)
    far = progress(record, status.finished or time.time())
    if _JSON.value:
        print_json(
            {
                "name": record.name,
                "handle": record.handle,
                **dataclasses.asdict(status),
                "progress": dataclasses.asdict(far) if far else None,
            }
        )
        return
    print(f"{record.name} ({record.handle}): {summary(status)}")
    if far:
        left = f", about {_minutes(far.seconds_left)} left" if far.seconds_left else ""
        goodput = f", goodput {far.goodput:.0%}" if far.goodput is not None else ""
        print(f"  step {far.step} of {far.total_steps}{left}{goodput}")
    for rank in status.ranks:
        host = f" on {rank.host}" if rank.host else ""
        detail = f": {rank.detail}" if rank.detail else ""
        print(f"  rank {rank.rank}: {rank.state}{host}{detail}")


def _minutes(seconds: float) -> str:
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{seconds:.0f} s"
