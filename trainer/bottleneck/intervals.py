"""How often to save and to validate, by what each time costs, and what that would gain."""

from __future__ import annotations

import dataclasses
import math

from trainer.bottleneck.bottleneck import Advice, upper_gain
from trainer.bottleneck.thresholds import SAVING_SHARE, VALIDATION_SHARE, WRITING_MARGIN
from trainer.monitoring.time_account import BETWEEN, REDONE, RunTime
from trainer.monitoring.timeline import Activity


@dataclasses.dataclass(frozen=True)
class RunFacts:
    """What else a verdict of the run needs to know.

    Attributes:
      step_seconds: of a step; NaN = not measured.
      save_every: steps between two saves; 0 = one an epoch.
      cpu_replicas: replicas of this process on the processor; 0 = they are on other devices.
      cores: that this process may keep busy.
      workers: of the run, on these cores.
      table: whether there is an image table; without one, what the first batch took is a wait.
      images_per_second: of the run; NaN = not measured.
      steps, epochs: of the run.
      validate_epochs: epochs between two validations; 0 = not by epochs.
      validate_steps: steps between two validations; 0 = not by steps.
      dataset_bytes: of the files that the run reads again and again; 0 = not known.
      memory_limit: of the container, in bytes; None = there is none, or it is not known.
      steps_per_pass: of the training split; 0 = not known.
      shards: of pictures of the training split; 0 = not known.
      follower_workers: that built live variants at a time; 0 = there was no follower.
      variant_seconds: that they take for a variant; 0 = not measured.
      replicas_divide: what every number of replicas must divide, such as the batch; 0 = nothing.
    """

    step_seconds: float
    save_every: int
    cpu_replicas: int
    cores: float
    workers: int = 1
    table: bool = True
    images_per_second: float = math.nan
    steps: int = 0
    epochs: int = 0
    validate_epochs: int = 0
    validate_steps: int = 0
    replicas_divide: int = 0
    dataset_bytes: int = 0
    memory_limit: int | None = None
    steps_per_pass: int = 0
    shards: int = 0
    follower_workers: int = 0
    variant_seconds: float = 0.0


def saving_seconds(spent: RunTime) -> float:
    """What steps stood still for: copies of the state, and waiting until one is on the disk."""
    return math.fsum(spent.seconds.get(a, 0.0) for a in (Activity.SAVING, Activity.WRITING))


def save_advice(spent: RunTime, facts: RunFacts) -> Advice | None:
    """Saves as far apart as their cost asks for; None where the interval is not what costs.

    The gain is what the saves left out took, and the waiting for the state before. Those at the end
    of an epoch stay.
    """
    step, now, saves = facts.step_seconds, facts.save_every, spent.step_saves
    if not now or not saves or not math.isfinite(step) or step <= 0:
        return None
    copying, waiting = spent.step_save_seconds / saves, spent.step_wait_seconds / saves
    # A state is written during the next steps; where they wait for it, it takes as long as both.
    apart = WRITING_MARGIN * (now * step + waiting) if waiting else 0.0
    every = max(1, _rounded(max(_seconds_apart(copying, spent), apart) / step))
    if every <= now:
        return None
    # One stays: at the end of the first epoch the state is saved before the validation.
    left = max(now / every, 1 / saves)
    saved = spent.step_save_seconds * (1 - left)
    if apart:
        saved += spent.step_wait_seconds
    if saved < saving_seconds(spent) / 2:
        return None  # most are made at the end of an epoch
    return _predicted("save_less", {"steps": every}, saved / spent.wall_seconds)


def save_more(spent: RunTime, facts: RunFacts) -> Advice | None:
    """Saves closer together, where steps done again cost more than the time between attempts.

    A fault then costs half an interval of steps, on average.
    """
    redone = spent.seconds.get(REDONE, 0.0)
    every = _save_interval(spent, facts)
    if every is None or redone <= spent.seconds.get(BETWEEN, 0.0):
        return None
    if facts.save_every and every >= facts.save_every:
        return None
    left = (spent.attempts - 1) * facts.step_seconds * every / 2
    share = max(0.0, redone - left) / spent.wall_seconds
    return _predicted("save_more", {"steps": every}, share)


def validation_advice(spent: RunTime, facts: RunFacts) -> Advice | None:
    """Validations so far apart that they take VALIDATION_SHARE of the time; the last one stays."""
    seconds, made = spent.seconds.get(Activity.VALIDATION, 0.0), spent.validations
    if not made or not facts.steps or not facts.epochs:
        return None
    cost, others = seconds / made, spent.wall_seconds - seconds
    most = max(1.0, others * VALIDATION_SHARE / cost)  # validations that the rest of the run pays
    if facts.validate_steps:
        every = min(facts.steps, _rounded(math.ceil(facts.steps / most)))
        remedy, unit, now, total = "validate_less_steps", "steps", facts.validate_steps, facts.steps
    else:
        every = min(facts.epochs, math.ceil(facts.epochs / most))
        remedy, unit, now = "validate_less", "epochs", facts.validate_epochs
        total = facts.epochs
    if not now or every <= now:
        return None
    left = -(-total // every)
    with_report = spent.wall_seconds + cost  # which measures once more
    share = (seconds - cost * min(made, left)) / with_report
    return _predicted(remedy, {unit: every, "now": now}, share)


def _predicted(remedy: str, values: dict[str, str | float], share: float) -> Advice:
    return Advice(remedy, values, gain=upper_gain(share), of_run=True)


def _save_interval(spent: RunTime, facts: RunFacts) -> int | None:
    """Steps between two saves, where each costs what one has cost so far; None = not known."""
    if not spent.saves or not math.isfinite(facts.step_seconds) or facts.step_seconds <= 0:
        return None
    cost = saving_seconds(spent) / spent.saves
    return max(1, _rounded(_seconds_apart(cost, spent) / facts.step_seconds))


def _seconds_apart(cost: float, spent: RunTime) -> float:
    """Seconds of work between two saves, of the cost C of a save and the mean time M between
    faults.

    Young, "A first order approximation to the optimum checkpoint interval", CACM 17 (1974); Daly,
    FGCS 22 (2006): sqrt(2 C M). Where no fault was seen, saves may take SAVING_SHARE of the time.
    """
    if spent.attempts > 1:
        return math.sqrt(2 * cost * spent.wall_seconds / (spent.attempts - 1))
    return cost / SAVING_SHARE


def _rounded(value: float) -> int:
    """Two digits are enough for a number that is only about right."""
    digits = max(0, math.floor(math.log10(value)) - 1) if value >= 1 else 0
    return round(value / 10**digits) * 10**digits
