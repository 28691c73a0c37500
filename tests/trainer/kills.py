"""Kills trainings at chosen moments and starts them again, by the real command.

Moments are seen from outside, never waited for by the clock: a step when its records stand in
RUN/records.jsonl, a save when its temporary folder is there, a validation when the state before
the first one of a life is saved.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from preprocess.shell.exit_codes import ExitCode
from tests import forked
from tests.trainer import datasets
from trainer.monitoring.memory_pressure import REREAD, STALLED
from trainer.monitoring.processor import OTHERS, OWN, THROTTLED, WANTED
from trainer.monitoring.timeline import GOODPUT
from trainer.monitoring.timing import MEANS, SPREAD
from trainer.training.record_log import read_record_log

STEP, SAVE, VALIDATION = "step", "save", "validation"
DEADLINE_SECONDS = 1800.0  # of a life; the machine may be shared
POLL_SECONDS = 0.002


@dataclasses.dataclass(frozen=True)
class Kill:
    """A signal at the first moment of a kind after a step is done."""

    step: int
    number: signal.Signals
    moment: str = STEP

    def __str__(self) -> str:
        return f"{self.number.name} at {self.moment} after step {self.step}"


def draw_kills(seed: int, count: int, steps: int) -> list[Kill]:
    """`count` kills, KILL and TERM in equal parts, at different random steps in ascending order.

    Two in five are at another moment than a step: a save, or a validation.
    """
    rng = random.Random(seed)
    at = sorted(rng.sample(range(1, steps), count))
    numbers = [(signal.SIGKILL, signal.SIGTERM)[i % 2] for i in range(count)]
    moments = [(STEP, STEP, STEP, SAVE, VALIDATION)[i % 5] for i in range(count)]
    rng.shuffle(numbers)
    rng.shuffle(moments)
    return [Kill(*each) for each in zip(at, numbers, moments, strict=True)]


def live(flags: list[str], run: Path, kill: Kill | None, steps_per_epoch: int) -> tuple[int, str]:
    """One life of `python -m trainer train`, to its end or a kill: exit code and stderr.

    A run may end before the moment of its kill; its exit code tells.
    """
    said = run.with_suffix(".stderr")
    plain = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    watch = Watch(run, steps_per_epoch)
    with open(said, "wb") as file:
        process = forked.Popen(
            [sys.executable, "-m", "trainer", *flags],
            cwd=datasets.REPOSITORY,
            env=plain,
            stdout=subprocess.DEVNULL,
            stderr=file,
        )
        try:
            if kill:
                wait_for(lambda: process.poll() is not None or watch.has_come(kill))
                process.send_signal(kill.number)
            code = process.wait(DEADLINE_SECONDS)
        finally:
            process.kill()
            process.wait()
    return code, said.read_text(encoding="utf-8")


# What a row of metrics.jsonl has from the clock.
CLOCK = (
    "seconds",
    "validation_seconds",
    *MEANS,
    *SPREAD,
    OWN,
    OTHERS,
    THROTTLED,
    WANTED,
    STALLED,
    REREAD,
    GOODPUT,
)


def rows_without_times(run: Path) -> list[dict[str, Any]]:
    """metrics.jsonl without what the clock says."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in CLOCK} for line in lines]


class Watch:
    """Sees from a run directory how far a life that begins now has come."""

    def __init__(self, run: Path, steps_per_epoch: int) -> None:
        self._run, self._steps_per_epoch = run, steps_per_epoch
        self._step, self._rows = self._last_step(), self._epochs()

    def has_come(self, kill: Kill) -> bool:
        """Whether this life is at the moment of a kill: it has done a step of its own."""
        step = self._last_step()
        if step < max(kill.step, self._step + 1):
            return False
        states = self._run / "checkpoints" / "last"
        if kill.moment == SAVE:
            return any(states.glob("tmp-*"))
        if kill.moment == VALIDATION:
            rows = self._epochs()
            saved = any(states.glob(f"step-{step:08d}-epoch-{rows:05d}"))
            # A life saves before its first validation only.
            return step == (rows + 1) * self._steps_per_epoch and (saved or rows > self._rows)
        return True

    def _last_step(self) -> int:
        lines = read_record_log(self._run / "records.jsonl")
        return lines[-1][0] if lines else 0

    def _epochs(self) -> int:
        rows = self._run / "metrics.jsonl"
        return len(rows.read_text(encoding="utf-8").splitlines()) if rows.exists() else 0


def wait_for(condition: Callable[[], bool]) -> None:
    """Waits until a condition holds, or fails after a long while."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the moment did not come"
        time.sleep(POLL_SECONDS)


def check_killed(kill: Kill, code: int, said: str) -> None:
    """Asserts that a life ended as its kill has it: TERM saves and ends with 75, in words."""
    assert "Traceback" not in said, f"{kill}: {said}"
    if kill.number == signal.SIGKILL:
        assert code == -signal.SIGKILL, f"{kill}: {code} {said}"
    else:
        assert code == ExitCode.SAVED, f"{kill}: {code} {said}"
        assert "SIGTERM: " in said and "the same command resumes" in said, said


def check_records(run: Path, steps: int, records: int, batch_size: int) -> None:
    """Asserts that each record of each pass was trained on once, of the last pass at most once."""
    lines = read_record_log(run / "records.jsonl")
    assert [step for step, _ in lines] == list(range(1, steps + 1))
    a_pass = -(-records // batch_size)
    for first in range(0, steps, a_pass):
        seen = [record for _, batch in lines[first : first + a_pass] for record in batch]
        assert len(set(seen)) == len(seen)
        if first + a_pass <= steps:
            assert sorted(seen) == list(range(records))
