r"""Shows a run's state: ranks, restarts, step, remaining time and goodput.

    python -m launch status RUN [--json]

RUN is a name or a run directory. Goodput is the fraction of the time since submission spent in
training steps that were kept, without their wait for input; waiting in the queue and restarts
lower it. `python -m trainer time RUN` shows where the rest went. Step and remaining time are at
most a second old.
"""

from __future__ import annotations

import dataclasses
import time

from absl import flags

import launch.commands.one_run
from launch.backends.base import backend_of
from launch.commands.one_run import one_run
from preprocess.shell.cli import print_json

flags.adopt_module_key_flags(launch.commands.one_run)
_JSON = flags.DEFINE_bool("json", False, "Print one JSON object.")


def main(arguments: list[str]) -> None:
    """Prints the state."""
    record = one_run("status", arguments)
    from launch.runs.run_progress import progress
    from launch.watch import summary

    status = backend_of(record.spec).status(record)
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
    where = f" ({record.handle})" if record.handle else ""
    print(f"{record.name}{where}: {summary(status)}")
    if far:
        left = f", about {_minutes(far.seconds_left)} left" if far.seconds_left else ""
        goodput = f", goodput {far.goodput:.0%}" if far.goodput is not None else ""
        print(f"  step {far.step} of {far.total_steps}{left}{goodput}")
        if far.queue_seconds is not None and far.queue_seconds >= 60:
            print(f"  waited {_minutes(far.queue_seconds)} for its first start")
        if far.redone_steps:
            print(f"  {far.redone_steps:,} steps were done again after restarts")
    for rank in status.ranks:
        host = f" on {rank.host}" if rank.host else ""
        detail = f": {rank.detail}" if rank.detail else ""
        print(f"  rank {rank.rank}: {rank.state}{host}{detail}")
    if status.follower:
        print(f"  follower: {status.follower}")


def _minutes(seconds: float) -> str:
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{seconds:.0f} s"
