"""What the machine, its limits and its storage will cost a run: pure functions to a Check."""

from __future__ import annotations

import math

from trainer.bottleneck.thresholds import BESIDE_HIGH, THROTTLED_HIGH
from trainer.preflight.checks import OK, WARNING, Check, size_words
from trainer.report.figures import duration


def cpu(cores: float, machine_cores: int, throttled: float | None, cpu_replicas: int) -> Check:
    """The cores that this process may keep busy.

    Args:
      cores: what its affinity and the container's CPU limit leave.
      machine_cores: of the machine.
      throttled: share of the periods of the CPU limit so far in which the container was held
        back; None = there is no limit, or it cannot be read.
      cpu_replicas: replicas on the processor; 0 = they are on other devices.
    """
    value = f"{cores:g} of {machine_cores} cores"
    if cores < machine_cores:
        value += " (affinity, or the container's limit)"
    if throttled is not None:
        value += f", held back in {throttled:.0%} of the limit's periods so far"
    if cpu_replicas > max(1.0, cores):
        fewer = max(1, math.floor(cores))
        advice = f"{cpu_replicas} replicas share them: set virtual_replicas={fewer}"
        return Check("cpu", WARNING, value, advice)
    if throttled is not None and throttled >= THROTTLED_HIGH:
        return Check("cpu", WARNING, value, "raise the container's CPU limit")
    return Check("cpu", OK, value)


def saving(seconds: float, state_bytes: int, step_seconds: float, every_steps: int) -> Check:
    """What saving a state costs on the storage of the run directory.

    It is written during the next steps, which wait where the state before is still being written.

    Args:
      seconds: to write and sync as many bytes as a state has.
      state_bytes: of a state.
      step_seconds: of a step.
      every_steps: steps between two saves.
    """
    between = every_steps * step_seconds
    share = max(0.0, seconds - between) / max(seconds, between)
    value = (
        f"{duration(seconds)} to write and sync a state of {size_words(state_bytes)}, every "
        f"{every_steps:,} steps: they wait for it {share:.1%} of the time"
    )
    if share >= BESIDE_HIGH and step_seconds > 0:
        enough = math.ceil(seconds / step_seconds)
        advice = (
            f"save every {enough:,} steps (checkpoint.every_steps, or steps_per_epoch where an "
            "epoch is short), or to faster storage"
        )
        return Check("saving", WARNING, value, advice)
    return Check("saving", OK, value)


def start(seconds: float, run_seconds: float) -> Check:
    """From the start of the process to the end of the first step, against the rest of the run."""
    value = f"{duration(seconds)} from the start to the first step, at each start"
    if seconds > run_seconds:
        return Check("start", OK, f"{value}: longer than the steps of this run")
    return Check("start", OK, value)
