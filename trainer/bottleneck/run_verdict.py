"""The verdict of a whole run: what is not in a step goes first where it takes more of the time.

What could be gained is compared: of what lies besides the steps all its time, of the steps what
they wait for their input. What slows down everything, the start too, such as a CPU limit, goes
before what is paid once. A run that is held up by its steps alone keeps their verdict.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from trainer.bottleneck.bottleneck import Advice, Bottleneck, Kind, upper_gain
from trainer.bottleneck.evidence import (
    BesideSteps,
    ColdFirstPass,
    CpuQuota,
    DroppedForMemory,
    Evidence,
    KilledForMemory,
    MoreReplicasThanCores,
    SpreadBesideSteps,
    StalledForMemory,
)
from trainer.bottleneck.intervals import (
    RunFacts,
    save_advice,
    save_more,
    saving_seconds,
    validation_advice,
)
from trainer.bottleneck.late_variants import late_variants
from trainer.bottleneck.thresholds import (
    BESIDE_HIGH,
    BESIDE_SECONDS,
    INPUT_HIGH,
    ONCE_HIGH,
    ONCE_SECONDS,
    REREAD_HIGH,
    SPREAD_HIGH,
    SPREAD_LARGEST,
    SPREAD_SECONDS,
    STALLED_HIGH,
    THROTTLED_HIGH,
)
from trainer.monitoring.memory_pressure import REREAD, STALLED
from trainer.monitoring.metric_rows import Row, mean
from trainer.monitoring.processor import THROTTLED, WANTED
from trainer.monitoring.stages import COLLECTIVE
from trainer.monitoring.time_account import BETWEEN, HOST, INPUT_WAIT, REDONE, RunTime
from trainer.monitoring.timeline import Activity

CALLBACKS = "callbacks"
# What is paid once, at a start, and what comes back again and again.
_STARTING = (Activity.START, Activity.PEERS, Activity.BUILD, Activity.RESTORE, Activity.COMPILE)
_IN_STEPS = (Activity.STEPS.value, HOST, INPUT_WAIT, REDONE)
_ONCE = (Kind.START, Kind.TABLE)


@dataclasses.dataclass(frozen=True)
class _Cause:
    """A candidate, and the share of the run's time that it costs."""

    kind: Kind
    fact: Evidence
    advice: Advice
    share: float


def run_verdict(
    steps: Bottleneck, spent: RunTime, facts: RunFacts, rows: Sequence[Row]
) -> Bottleneck:
    """The verdict of the run, with that of its steps within it where something else is first."""
    everywhere = (
        _throttled(facts, rows)
        or _dropped(spent, facts, rows)
        or _stalled(rows)
        or _oversubscribed(facts, steps.shares or {})
    )
    beside, killed = _beside(spent, facts, rows), _killed(spent, facts)
    if killed and (beside is None or beside.kind in _ONCE or beside.share <= killed.share):
        beside = killed
    if beside and everywhere and (beside.kind in _ONCE or beside.share < everywhere.share):
        beside = None
    cause = beside or everywhere
    late = late_variants(spent, facts)
    if late and (cause is None or cause.kind in _ONCE or cause.share <= late[0].share):
        cause = _Cause(Kind.INPUT, *late, late[0].share)
    cause = cause or _spread(spent, facts)
    if spent.memory_kills and (cause is None or cause.kind is not Kind.MEMORY):
        steps = _with_memory_kills(steps, spent, facts)
    if cause is None:
        return steps
    advice = (cause.advice, *steps.advice)
    return dataclasses.replace(
        steps, kind=cause.kind, evidence=(cause.fact,), steps=steps, advice=advice
    )


def _with_memory_kills(steps: Bottleneck, spent: RunTime, facts: RunFacts) -> Bottleneck:
    """What the memory limit killed is told in any case: it will do so again."""
    share = _costs(spent, facts)[Kind.RESTARTS] / spent.wall_seconds if spent.wall_seconds else 0.0
    return dataclasses.replace(
        steps,
        caveats=(*steps.caveats, KilledForMemory(spent.memory_kills, share)),
        advice=(*steps.advice, Advice("more_memory")),
    )


def _throttled(facts: RunFacts, rows: Sequence[Row]) -> _Cause | None:
    """Of the periods p that were held back, the quota q of the wanted k cores was enough for a
    share of q / k: the rest of them is what the limit costs.
    """
    held_back, wanted = mean(rows, THROTTLED), mean(rows, WANTED)
    if held_back is None or held_back < THROTTLED_HIGH:
        return None
    fact = CpuQuota(facts.cores, held_back)
    if wanted is None or wanted <= facts.cores:
        return _Cause(Kind.THROTTLED, fact, Advice("cpu_limit_unknown"), held_back)
    share = held_back * (1 - facts.cores / wanted)
    gain, enough = upper_gain(share), math.ceil(10 * wanted) / 10
    speed = facts.images_per_second * gain
    advice = Advice(
        "cpu_limit",
        {"cores": enough},
        images_per_second=speed if math.isfinite(speed) else None,
        gain=gain,
    )
    return _Cause(Kind.THROTTLED, fact, advice, share)


def _dropped(spent: RunTime, facts: RunFacts, rows: Sequence[Row]) -> _Cause | None:
    """A dataset that a memory limit leaves no room for is read from storage in every pass: where
    steps wait for that, they would not if it stayed in memory.
    """
    reread, wall = mean(rows, REREAD), spent.wall_seconds
    waited = spent.seconds.get(INPUT_WAIT, 0.0)
    in_steps = sum(spent.seconds.get(name, 0.0) for name in _IN_STEPS)
    if reread is None or reread < REREAD_HIGH or waited < INPUT_HIGH * in_steps or not waited:
        return None
    share = waited / wall
    fact = DroppedForMemory(reread, facts.memory_limit, share)
    advice = _of_run("more_memory", share * reread)
    if facts.dataset_bytes:
        gigabytes = math.ceil(facts.dataset_bytes / 1e8) / 10
        advice = dataclasses.replace(advice, remedy="keep_files", values={"gigabytes": gigabytes})
    return _Cause(Kind.MEMORY, fact, advice, share * reread)


def _stalled(rows: Sequence[Row]) -> _Cause | None:
    stalled = mean(rows, STALLED)
    if stalled is None or stalled < STALLED_HIGH:
        return None
    advice = _of_run("more_memory", stalled)
    return _Cause(Kind.MEMORY, StalledForMemory(stalled), advice, stalled)


def _oversubscribed(facts: RunFacts, shares: Mapping[str, float]) -> _Cause | None:
    """What is known of the gain is that replicas no longer wait for each other."""
    workers = max(1, facts.workers)
    replicas = facts.cpu_replicas * workers
    if replicas <= max(1.0, facts.cores):
        return None
    waits = shares.get(COLLECTIVE, 0.0)
    enough = max(1, math.floor(facts.cores))
    if workers > 1:
        advice = Advice("fewer_workers", {"workers": max(1, enough // facts.cpu_replicas)})
    else:
        whole = facts.replicas_divide
        fits = (n for n in range(enough, 1, -1) if whole % n == 0)
        advice = Advice("fewer_replicas", {"replicas": next(fits, 1)})
    advice = dataclasses.replace(
        advice, gain=upper_gain(waits) if waits else None, of_run=True, at_most=True
    )
    fact = MoreReplicasThanCores(replicas, facts.cores, workers)
    return _Cause(Kind.OVERSUBSCRIBED, fact, advice, waits)


def _killed(spent: RunTime, facts: RunFacts) -> _Cause | None:
    """Restarts after kills for memory, however short the run: it is certain what they came from."""
    restarts, wall = _costs(spent, facts)[Kind.RESTARTS], spent.wall_seconds
    if not spent.memory_kills or restarts < BESIDE_HIGH * wall:
        return None
    share = restarts / wall
    fact = KilledForMemory(spent.memory_kills, share)
    return _Cause(Kind.MEMORY, fact, _of_run("more_memory", share), share)


def _beside(spent: RunTime, facts: RunFacts, rows: Sequence[Row]) -> _Cause | None:
    """What takes most of the run besides its steps, where that is much, and more than they wait."""
    seconds, wall = spent.seconds, spent.wall_seconds
    waited, cold = seconds.get(INPUT_WAIT, 0.0), _cold_seconds(spent, facts, rows)
    in_steps = sum(seconds.get(name, 0.0) for name in _IN_STEPS)
    costs = _costs(spent, facts)
    large = [each for each in costs if _is_large(each, costs[each], wall)]
    kind = max(large or costs, key=lambda each: costs[each])
    share = costs[kind] / wall if wall else 0.0
    if cold > costs[kind] and cold >= BESIDE_SECONDS and cold >= BESIDE_HIGH * wall:
        advice = _of_run("cold_pass", cold / wall)
        return _Cause(Kind.INPUT, ColdFirstPass(cold / wall, cold), advice, cold / wall)
    if not large or costs[kind] <= waited:
        return None
    name = _name(kind)
    fact = BesideSteps(name, share, costs[kind], in_steps)
    return _Cause(kind, fact, _advice(kind, name, share, spent, facts), share)


def _is_large(kind: Kind, seconds: float, wall: float) -> bool:
    """Whether it is named before the steps: what is paid once must take more for that."""
    share, least = (ONCE_HIGH, ONCE_SECONDS) if kind in _ONCE else (BESIDE_HIGH, BESIDE_SECONDS)
    return seconds >= least and seconds >= share * wall > 0


def _spread(spent: RunTime, facts: RunFacts) -> _Cause | None:
    """What is not a step takes much of a short run, in several parts, each too small to be named
    alone; the largest is more than the steps wait for input.
    """
    seconds, wall = spent.seconds, spent.wall_seconds
    costs = {kind: cost for kind, cost in _costs(spent, facts).items() if cost >= 1}
    total = math.fsum(costs.values())
    if not wall or total < SPREAD_HIGH * wall or total < SPREAD_SECONDS:
        return None
    kinds = sorted(costs, key=lambda each: costs[each], reverse=True)
    largest = costs[kinds[0]]
    if largest > SPREAD_LARGEST * total or largest <= seconds.get(INPUT_WAIT, 0.0):
        return None
    in_steps = sum(seconds.get(name, 0.0) for name in _IN_STEPS)
    parts = tuple((_name(kind), costs[kind]) for kind in kinds)
    fact = SpreadBesideSteps(total / wall, total, in_steps, parts)
    advice = _advice(kinds[0], _name(kinds[0]), largest / wall, spent, facts)
    return _Cause(kinds[0], fact, advice, total / wall)


def _name(kind: Kind) -> str:
    """Of what is not a step, as its fact and its remedy have it."""
    return CALLBACKS if kind is Kind.OVERHEAD else str(kind)


def _costs(spent: RunTime, facts: RunFacts) -> dict[Kind, float]:
    """Seconds of what is not a step."""
    seconds = spent.seconds
    later_starts = _sum(seconds, _STARTING) - _sum(spent.first_attempt, _STARTING)
    return {
        Kind.SAVING: saving_seconds(spent),
        Kind.VALIDATION: seconds.get(Activity.VALIDATION, 0.0),
        Kind.RESTARTS: seconds.get(BETWEEN, 0.0) + seconds.get(REDONE, 0.0) + later_starts,
        Kind.OVERHEAD: seconds.get(Activity.CALLBACKS, 0.0),
        Kind.START: _sum(spent.first_attempt, _STARTING),
        Kind.TABLE: seconds.get(Activity.TABLE, 0.0) if facts.table else 0.0,
    }


def _advice(kind: Kind, name: str, share: float, spent: RunTime, facts: RunFacts) -> Advice:
    found = None
    if kind is Kind.SAVING:
        found = save_advice(spent, facts)
    elif kind is Kind.VALIDATION:
        found = validation_advice(spent, facts)
    elif kind is Kind.RESTARTS:
        found = save_more(spent, facts)
    return found or _of_run(f"beside_{name}", share)


def _cold_seconds(spent: RunTime, facts: RunFacts, rows: Sequence[Row]) -> float:
    """What the first batch and the first epochs waited for their input beyond what later ones do;
    0 where the last epochs still wait, or there are too few to tell.

    A first batch out of an image table waits for the table, not for itself.
    """
    waits = [
        row["input_wait_fraction"] for row in rows if row.get("input_wait_fraction") is not None
    ]
    late = waits[len(waits) // 2 :]
    if len(waits) < 2 or not late or max(late) >= INPUT_HIGH:
        return 0.0
    in_steps = sum(spent.seconds.get(name, 0.0) for name in _IN_STEPS)
    usual = in_steps * sum(late) / len(late)
    first = 0.0 if facts.table else spent.seconds.get(Activity.TABLE, 0.0)
    return first + max(0.0, spent.seconds.get(INPUT_WAIT, 0.0) - usual)


def _of_run(remedy: str, share: float) -> Advice:
    """A remedy that at most takes all of that away."""
    return Advice(remedy, gain=upper_gain(share), of_run=True, at_most=True)


def _sum(seconds: Mapping[str, float], activities: Sequence[Activity]) -> float:
    return math.fsum(seconds.get(activity, 0.0) for activity in activities)
