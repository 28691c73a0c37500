"""A model of a training step, fitted to what was measured, that says what a change would bring.

The host prepares batches while the device runs steps. So a step takes as long as the slower of
the two, or as the work of both together where they share processor cores and fill them:

    step = max(input, device, (input's + device's processor time) / cores) + u

and u, what this leaves unexplained, is the measured step less the model's. Below 0 it is noise, and
all is taken for as much shorter, unless a table of pictures was filled before the measurement. It
is what the two sides cost each other (caches, memory, threads that take turns), so that it goes
with the shorter of them, as far as it is no longer than that one itself: without input a step is
as long as on a resident batch. What is left of it grows and falls with the step.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping

from trainer.bottleneck.phases.measurements import InputTiming, Measurements, Timing, chains
from trainer.bottleneck.thresholds import SLOW_REPLICA, SMALL_GAIN
from trainer.monitoring.stages import INPUT_STAGES, STAGES, STEP_STAGES


@dataclasses.dataclass(frozen=True)
class Cost:
    """Seconds of a step on the clock and of processor time."""

    seconds: float = 0.0
    cpu: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.seconds + other.seconds, self.cpu + other.cpu)

    def __sub__(self, other: Cost) -> Cost:
        """Nothing costs less than nothing: what is below is noise."""
        return Cost(max(0.0, self.seconds - other.seconds), max(0.0, self.cpu - other.cpu))

    def __mul__(self, factor: float) -> Cost:
        return Cost(self.seconds * factor, self.cpu * factor)


@dataclasses.dataclass(frozen=True)
class StepModel:
    """What each stage costs of a step.

    Attributes:
      costs: by stage of STAGES; 0 for those that a step does not have.
      input_chains: the stages of each chain of the input that runs in parallel to the others.
      cores: processor cores.
      measured: seconds of a step of training as it is. It may be less than the sides take on
        average, where what was measured ended before the input did a part of its work, such as
        the next pass's table.
      resident: the same on a resident batch.
      pictures_a_step: of all replicas.
    """

    costs: Mapping[str, Cost]
    input_chains: tuple[tuple[str, ...], ...]
    cores: float
    measured: float
    resident: float
    pictures_a_step: int

    @property
    def full(self) -> float:
        """Seconds of a step on average."""
        return self.seconds()

    def seconds(self, changed: Mapping[str, Cost] | None = None) -> float:
        """Seconds of a step where some stages cost something else."""
        costs = {**self.costs, **(changed or {})}
        bound, now = self._bound(costs), self._bound(self.costs)
        if self.measured < now and not self._outlasted:  # a slow minute met the parts alone
            return bound * self.measured / now
        both, both_now = self._both(costs), self._both(self.costs)
        unexplained = max(0.0, self.measured - now)
        mutual = min(unexplained, both_now)
        total = bound
        if both_now:
            total += mutual * both / both_now
        if now:
            total += (unexplained - mutual) * bound / now
        return total

    def without(self, stage: str) -> float:
        """Seconds of a step where a stage costs nothing."""
        return self.seconds({stage: Cost()})

    def speed(self, changed: Mapping[str, Cost]) -> float:
        """Images per second likewise."""
        return self.pictures_a_step / self.seconds(changed)

    @property
    def input_seconds(self) -> float:
        """What the input needs for a step, by itself."""
        return self._input(self.costs)

    @property
    def gains(self) -> dict[str, float]:
        """By stage: how much faster training would be without it; 0.5 = half as fast again."""
        return {stage: self.full / self.without(stage) - 1 for stage in STAGES}

    @property
    def binding(self) -> str:
        """The stage whose end would gain most; between equals, the one that costs most."""
        gains = self.gains
        return max(STAGES, key=lambda stage: (round(gains[stage], 3), self.costs[stage].seconds))

    @property
    def input_tax(self) -> float:
        """1 - real speed / speed on a resident batch; not below 0."""
        return max(0.0, 1 - self.resident / self.full)

    @property
    def shares(self) -> dict[str, float]:
        """The share of a step by stage; their sum is 1.

        What the step itself does has its own time. The rest of a step was spent on input, or on
        sharing cores with it, and is divided among its stages as their costs are.
        """
        step = {stage: self.costs[stage].seconds for stage in STEP_STAGES}
        shown = sum(step.values()) or 1.0
        on_step = min(1.0, self.resident / self.full)
        shares = {stage: on_step * seconds / shown for stage, seconds in step.items()}
        inputs = {stage: self.costs[stage].seconds for stage in INPUT_STAGES}
        total = sum(inputs.values()) or 1.0
        shares.update({s: (1 - on_step) * seconds / total for s, seconds in inputs.items()})
        rest = 1 - sum(shares.values())  # no input was seen at all
        shares["host_overhead"] += rest
        return {stage: shares[stage] for stage in STAGES}

    @property
    def _outlasted(self) -> bool:
        """Whether the input takes so much longer than the steps that were measured did that a part
        of its work came before or after them.
        """
        return self.input_seconds > (1 + SMALL_GAIN) * self.measured

    def _both(self, costs: Mapping[str, Cost]) -> float:
        """Seconds of a step in which both sides are at work: those of the shorter."""
        return min(self._input(costs), _step(costs))

    def _bound(self, costs: Mapping[str, Cost]) -> float:
        cpu = sum(cost.cpu for cost in costs.values()) / self.cores
        return max(self._input(costs), _step(costs), cpu)

    def _input(self, costs: Mapping[str, Cost]) -> float:
        """Seconds of the longest of the chains, which run in parallel."""
        chains = (sum(costs[stage].seconds for stage in chain) for chain in self.input_chains)
        return max(chains, default=0.0)


def _step(costs: Mapping[str, Cost]) -> float:
    return sum(costs[stage].seconds for stage in STEP_STAGES)


def fit(measured: Measurements) -> StepModel:
    """The model of what was measured."""
    costs = dict.fromkeys(STAGES, Cost())
    stages: list[tuple[str, ...]] = []
    for chain in chains(measured.inputs):
        costs.update(_own(chain))
        stages.append(tuple(cut.stage for cut in chain))
    if stages:
        # Of whole batches, which then go to their devices; other chains run in parallel.
        reached = [_cost(chain[-1].timing) for chain in chains(measured.inputs)]
        before = Cost(max(c.seconds for c in reached), sum(c.cpu for c in reached))
        costs["transfer"] = _cost(measured.transfer) - before
        stages[-1] = (*stages[-1], "transfer")
    costs.update(_of_the_step(measured))
    return StepModel(
        costs, tuple(stages), measured.cores, measured.full.median, measured.resident.median,
        measured.pictures_a_step,
    )  # fmt: skip


def _own(chain: list[InputTiming]) -> dict[str, Cost]:
    """What each cut adds to the one before it."""
    costs, before = {}, Cost()
    for cut in chain:
        cost = _cost(cut.timing)
        costs[cut.stage] = cost - before
        # Noise may make a cut cheaper than the one before; the next adds to what was reached.
        before = Cost(max(cost.seconds, before.seconds), max(cost.cpu, before.cpu))
    return costs


def _of_the_step(measured: Measurements) -> dict[str, Cost]:
    """A step on a resident batch in its parts, which add up to the loop's time."""
    step, resident = measured.step.median, measured.resident.median
    preprocess = max(0.0, measured.preprocess.median - measured.nothing.median)
    collective = imbalance(measured.each_replica)
    if measured.replicas > 1:
        collective += max(0.0, measured.all_reduce.median - measured.nothing.median)
    # A difference of two figures: by the fastest round of each, which noise disturbs least.
    fixed = _fixed(measured.step.best, measured.small_step.best, measured.small)
    fixed_before = _fixed(
        max(0.0, measured.preprocess.best - measured.nothing.best),
        max(0.0, measured.small_preprocess.best - measured.nothing.best),
        measured.small,
    )
    # Of what does not grow with the batch, that of the layers and of summing is theirs.
    launching = max(0.0, fixed - fixed_before - collective)
    parts = {"device_preprocess": preprocess, "collective": collective, "host_overhead": launching}
    room = step / max(step, sum(parts.values()))  # noise may make them more than the whole
    parts = {stage: seconds * room for stage, seconds in parts.items()}
    parts["model"] = step - sum(parts.values())
    parts["host_overhead"] += max(0.0, resident - step)
    busy = measured.resident.cpu / resident if resident else 0.0
    return {stage: Cost(seconds, seconds * busy) for stage, seconds in parts.items()}


def imbalance(each_replica: tuple[tuple[float, ...], ...]) -> float:
    """Seconds that all replicas wait for the slowest; 0 if it is hardly slower.

    Against the median of the others, of all workers.
    """
    everyone = sorted(seconds for worker in each_replica for seconds in worker)
    if len(everyone) < 2:
        return 0.0
    others = statistics.median(everyone[:-1])
    return everyone[-1] - others if everyone[-1] >= SLOW_REPLICA * others else 0.0


def slowest(each_replica: tuple[tuple[float, ...], ...]) -> tuple[int, int]:
    """(worker, its replica) that takes longest."""
    places = [(w, r) for w, seconds in enumerate(each_replica) for r in range(len(seconds))]
    return max(places, key=lambda place: each_replica[place[0]][place[1]])


def _fixed(whole: float, small: float, fraction: float) -> float:
    """Of seconds for a batch and for `fraction` of it, what does not depend on its size.

    t(f) = a + f * (t(1) - a), so a = (t(f) - f * t(1)) / (1 - f); within 0 and t(1).
    """
    return min(whole, max(0.0, (small - fraction * whole) / (1 - fraction)))


def _cost(timing: Timing) -> Cost:
    return Cost(timing.median, timing.cpu)
