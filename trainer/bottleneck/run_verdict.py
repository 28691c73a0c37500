"""The verdict of a whole run: what is not in a step goes first where it takes more of the time.

What could be gained is compared: of what lies besides the steps all its time, of the steps what
they wait for their input. A run that is held up by its steps alone keeps their verdict.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from trainer.bottleneck.bottleneck import Advice, Bottleneck, Kind, upper_gain
from trainer.bottleneck.evidence import (
    BesideSteps,
    CpuQuota,
    Evidence,
    KilledForMemory,
    MoreReplicasThanCores,
    StalledForMemory,
)
from trainer.bottleneck.thresholds import (
    BESIDE_HIGH,
    BESIDE_SECONDS,
    ONCE_HIGH,
    ONCE_SECONDS,
    SAVING_SHARE,
    STALLED_HIGH,
    THROTTLED_HIGH,
)
from trainer.monitoring.memory_pressure import STALLED
from trainer.monitoring.metric_rows import Row, mean
from trainer.monitoring.processor import THROTTLED
from trainer.monitoring.time_account import BETWEEN, HOST, INPUT_WAIT, REDONE, RunTime
from trainer.monitoring.timeline import Activity

# What is paid once, at a start, and what comes back again and again.
_STARTING = (Activity.START, Activity.PEERS, Activity.BUILD, Activity.RESTORE, Activity.COMPILE)
_IN_STEPS = (Activity.STEPS.value, HOST, INPUT_WAIT, REDONE)


@dataclasses.dataclass(frozen=True)
class RunFacts:
    """What else a verdict of the run needs to know.

    Attributes:
      step_seconds: of a step; NaN = not measured.
      save_every: steps between two saves; 0 = one an epoch.
      cpu_replicas: replicas of this process on the processor; 0 = they are on other devices.
      cores: that this process may keep busy.
    """

    step_seconds: float
    save_every: int
    cpu_replicas: int
    cores: float


def run_verdict(
    steps: Bottleneck, spent: RunTime, facts: RunFacts, rows: Sequence[Row]
) -> Bottleneck:
    """The verdict of the run, with that of its steps within it where something else is first."""
    beside = _largest_beside(spent)
    if beside is not None and beside.seconds > spent.seconds.get(INPUT_WAIT, 0.0):
        if beside.kind == Kind.RESTARTS and spent.memory_kills:
            killed = KilledForMemory(spent.memory_kills, beside.share)
            gain = upper_gain(beside.share)
            return _before(steps, Kind.MEMORY, killed, Advice("more_memory", gain=gain))
        advice = _advice(beside, spent, facts)
        return _before(steps, Kind(beside.kind), beside, advice)
    throttled = mean(rows, THROTTLED)
    if throttled is not None and throttled >= THROTTLED_HIGH:
        quota = CpuQuota(facts.cores, throttled)
        return _before(steps, Kind.THROTTLED, quota, Advice("cpu_limit"))
    stalled = mean(rows, STALLED)
    if stalled is not None and stalled >= STALLED_HIGH:
        advice = Advice("more_memory", gain=upper_gain(stalled))
        return _before(steps, Kind.MEMORY, StalledForMemory(stalled), advice)
    if facts.cpu_replicas > max(1.0, facts.cores):
        many = MoreReplicasThanCores(facts.cpu_replicas, facts.cores)
        fewer = Advice("fewer_replicas", {"replicas": max(1, math.floor(facts.cores))})
        return _before(steps, Kind.OVERSUBSCRIBED, many, fewer)
    return steps


def _before(steps: Bottleneck, kind: Kind, fact: Evidence, first: Advice) -> Bottleneck:
    return dataclasses.replace(
        steps, kind=kind, evidence=(fact,), steps=steps, advice=(first, *steps.advice)
    )


def _largest_beside(spent: RunTime) -> BesideSteps | None:
    """What takes most of the run besides its steps, where that is much."""
    seconds = spent.seconds
    later_starts = _sum(seconds, _STARTING) - _sum(spent.first_attempt, _STARTING)
    costs = {
        Kind.SAVING: seconds.get(Activity.SAVING, 0.0),
        Kind.VALIDATION: seconds.get(Activity.VALIDATION, 0.0),
        Kind.RESTARTS: seconds.get(BETWEEN, 0.0) + seconds.get(REDONE, 0.0) + later_starts,
        Kind.START: _sum(spent.first_attempt, _STARTING),
        Kind.TABLE: seconds.get(Activity.TABLE, 0.0),
    }
    kind = max(costs, key=lambda each: costs[each])
    once = kind in (Kind.START, Kind.TABLE)
    share = costs[kind] / spent.wall_seconds if spent.wall_seconds else 0.0
    least = (ONCE_HIGH, ONCE_SECONDS) if once else (BESIDE_HIGH, BESIDE_SECONDS)
    if share < least[0] or costs[kind] < least[1]:
        return None
    in_steps = sum(seconds.get(name, 0.0) for name in _IN_STEPS)
    return BesideSteps(str(kind), share, costs[kind], in_steps)


def _advice(beside: BesideSteps, spent: RunTime, facts: RunFacts) -> Advice:
    kind = Kind(beside.kind)
    gain = upper_gain(beside.share)
    if kind is Kind.SAVING:
        return _save_less(beside, spent, facts)
    if kind is Kind.RESTARTS and spent.seconds.get(REDONE, 0.0) > spent.seconds.get(BETWEEN, 0.0):
        every = _save_interval(spent, facts)
        if every is not None and (not facts.save_every or every < facts.save_every):
            return Advice("save_more", {"steps": every}, gain=gain)
    return Advice(f"beside_{kind}", gain=gain)


def _save_less(beside: BesideSteps, spent: RunTime, facts: RunFacts) -> Advice:
    """Saves as far apart as their cost asks for; the gain is what the saves left out took."""
    every = _save_interval(spent, facts)
    if every is None or not facts.save_every or every <= facts.save_every:
        return Advice("beside_saving", gain=upper_gain(beside.share))
    left = beside.share * facts.save_every / every
    return Advice("save_less", {"steps": every}, gain=1 / (1 - beside.share + left))


def _save_interval(spent: RunTime, facts: RunFacts) -> int | None:
    """Steps between two saves, of the cost C of a save and the mean time M between faults.

    Young, "A first order approximation to the optimum checkpoint interval", CACM 17 (1974); Daly,
    FGCS 22 (2006): sqrt(2 C M) seconds of work. Where no fault was seen, saves may take
    SAVING_SHARE of the time.
    """
    if not spent.saves or not math.isfinite(facts.step_seconds) or facts.step_seconds <= 0:
        return None
    cost = spent.seconds.get(Activity.SAVING, 0.0) / spent.saves
    if spent.attempts > 1:
        seconds = math.sqrt(2 * cost * spent.wall_seconds / (spent.attempts - 1))
    else:
        seconds = cost / SAVING_SHARE
    return max(1, _rounded(seconds / facts.step_seconds))


def _rounded(value: float) -> int:
    """Two digits are enough for a number that is only about right."""
    digits = max(0, math.floor(math.log10(value)) - 1) if value >= 1 else 0
    return round(value / 10**digits) * 10**digits


def _sum(seconds: Mapping[str, float], activities: Sequence[Activity]) -> float:
    return math.fsum(seconds.get(activity, 0.0) for activity in activities)
