"""The facts that a verdict rests on, one class each, with their numbers.

Plain data without English text: sentences.py has the words. A new fact is a class here, an
entry in `Evidence`, and a line in sentences.py. Shares are of a step's time where nothing else is
said; speeds are in images per second.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class InputWait:
    """A share of the time was spent waiting for input, which waits for `stage`; None = unknown."""

    share: float
    stage: str | None = None


@dataclasses.dataclass(frozen=True)
class BatchesReady:
    """Batches were there when they were asked for."""


@dataclasses.dataclass(frozen=True)
class StepIsTheLimit:
    """Nothing besides the steps itself holds it up."""


@dataclasses.dataclass(frozen=True)
class PythonBetweenSteps:
    """A share of the time was spent in Python between the steps."""

    share: float


@dataclasses.dataclass(frozen=True)
class SlowWorkerInput:
    """One worker waits for its input for a share of its time, and the others at most `others`."""

    worker: int
    share: float
    others: float


@dataclasses.dataclass(frozen=True)
class NothingTimed:
    """No call came after the first, which traces and compiles."""


@dataclasses.dataclass(frozen=True)
class WaitNotTimed:
    """Several steps ran in one call, within which waiting cannot be timed."""


@dataclasses.dataclass(frozen=True)
class CoresTaken:
    """All cores are taken, `share` of what runs on them by a stage of the input."""

    stage: str
    share: float


@dataclasses.dataclass(frozen=True)
class LargestParts:
    """(stage, share) of the largest parts of a step in a trace."""

    parts: tuple[tuple[str, float], ...]


@dataclasses.dataclass(frozen=True)
class TracedParts:
    """The same besides what the loop of the traced run has measured itself."""

    parts: tuple[tuple[str, float], ...]


@dataclasses.dataclass(frozen=True)
class TracedWait:
    """The stage that the input waits for in a trace, besides what the loop has measured itself."""

    stage: str


@dataclasses.dataclass(frozen=True)
class FasterTrace:
    """The run became slower after its trace was taken: milliseconds a call of each."""

    trace_ms: float
    run_ms: float


@dataclasses.dataclass(frozen=True)
class FixedCost:
    """A share of the time goes to what a batch costs whatever its size."""

    share: float


@dataclasses.dataclass(frozen=True)
class ReplicaExchange:
    """A share of the time went between replicas."""

    share: float


@dataclasses.dataclass(frozen=True)
class NoMarkedSteps:
    """The trace holds no call of a training loop."""


@dataclasses.dataclass(frozen=True)
class NoDevices:
    """The trace has nothing of the GPUs that there are."""


@dataclasses.dataclass(frozen=True)
class StageShare:
    """What a stage takes, as measured.

    Attributes:
      stage: one of `trainer.monitoring.stages.STAGES`.
      share: see above.
      worker: for which the others wait; None = no single one.
      replica: of the worker, or of all if there is one worker only; None = no single one.
    """

    stage: str
    share: float
    worker: int | None = None
    replica: int | None = None


@dataclasses.dataclass(frozen=True)
class SpeedWithout:
    """The speed that training would have without the stage, and the one it has."""

    without: float
    now: float


# Caveats: why a verdict may not be the whole story.


@dataclasses.dataclass(frozen=True)
class OtherProcesses:
    """Other processes took a share of the machine's processor, of which nothing was left."""

    share: float


@dataclasses.dataclass(frozen=True)
class GpuHeldBack:
    """A GPU's clock was held below what it could be, for reasons; a fraction where it is known."""

    gpu: int
    reasons: tuple[str, ...]
    clock_fraction: float | None


@dataclasses.dataclass(frozen=True)
class GpuSlowLink:
    """A GPU's PCI Express link has fewer lanes, or an older generation, than it could have."""

    gpu: int
    lanes: int
    most_lanes: int
    generation: int
    newest_generation: int


@dataclasses.dataclass(frozen=True)
class GpuErrors:
    """Memory errors of a GPU that could not be corrected."""

    gpu: int
    count: int


@dataclasses.dataclass(frozen=True)
class GpuShared:
    """Other processes computed on a GPU meanwhile."""

    gpu: int
    processes: int


@dataclasses.dataclass(frozen=True)
class SlowedDown:
    """The run slowed down: a fast epoch and its speed, the last epoch and its speed."""

    fast_epoch: int
    fast: float
    last_epoch: int
    last: float


@dataclasses.dataclass(frozen=True)
class FewSteps:
    """Only that many steps were timed."""

    steps: int


@dataclasses.dataclass(frozen=True)
class RoundsDisagree:
    """So many of all rounds of a measurement, taken alone, would name another stage."""

    rounds: int
    total: int
    stages: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class RoundsApart:
    """How far the rounds of a measurement were apart, over their median."""

    spread: float


# Causes of advice.


@dataclasses.dataclass(frozen=True)
class PartOfStep:
    """A part of a step in a trace (a key of sentences.PARTS) and its share."""

    part: str
    share: float


@dataclasses.dataclass(frozen=True)
class SlowInputStage:
    """Waiting for input, and the slowest stage of the pipeline.

    Attributes:
      share: waiting.
      stage: one of the stages of the input.
      iterator: the kind of tf.data iterator that runs it, such as ParallelMapV2.
      name: that the iterator was given; "" = none.
      ms: of one of its calls.
    """

    share: float
    stage: str
    iterator: str
    name: str
    ms: float


@dataclasses.dataclass(frozen=True)
class UnexplainedWait:
    """Waiting for input, which no stage of its pipeline explains."""

    share: float


@dataclasses.dataclass(frozen=True)
class SharedCores:
    """A stage of the input takes a share of what runs on the processor that the steps share."""

    stage: str
    share: float


@dataclasses.dataclass(frozen=True)
class BesideSteps:
    """Something that is not a step takes a share of the run's time.

    Attributes:
      kind: the value of a Kind of the whole run, or "callbacks".
      share: of the wall-clock time.
      seconds: of it.
      steps_seconds: what the steps took.
    """

    kind: str
    share: float
    seconds: float
    steps_seconds: float


@dataclasses.dataclass(frozen=True)
class SpreadBesideSteps:
    """All that is not a step takes a share of the run's time, but no single part of it does.

    Attributes:
      share: of the wall-clock time.
      seconds: of it.
      steps_seconds: what the steps took.
      parts: (kind as in BesideSteps, seconds), the largest first.
    """

    share: float
    seconds: float
    steps_seconds: float
    parts: tuple[tuple[str, float], ...]


@dataclasses.dataclass(frozen=True)
class CpuQuota:
    """The container's CPU limit held its processes back in a share of the periods it counts."""

    cores: float
    share: float


@dataclasses.dataclass(frozen=True)
class KilledForMemory:
    """Processes that the memory limit killed, and what the restarts took of the time."""

    kills: int
    share: float


@dataclasses.dataclass(frozen=True)
class StalledForMemory:
    """The share of the time in which something in the container waited for memory."""

    share: float


@dataclasses.dataclass(frozen=True)
class DroppedForMemory:
    """Files that a memory limit had dropped from memory were read again.

    Attributes:
      reread: of what was read from storage, the share that had been in memory before.
      limit: of memory, in bytes; None = not known.
      waited: the share of the run's time in which its steps waited for their input.
    """

    reread: float
    limit: int | None
    waited: float


@dataclasses.dataclass(frozen=True)
class MoreReplicasThanCores:
    """Replicas on the processor, of how many workers of the run, and the cores for them all."""

    replicas: int
    cores: float
    workers: int = 1


@dataclasses.dataclass(frozen=True)
class ColdFirstPass:
    """What the first epochs waited for their input, a share of the run's time; the rest did not."""

    share: float
    seconds: float


@dataclasses.dataclass(frozen=True)
class LateVariants:
    """What a run waited for its follower, a share of its time; seconds that the follower takes for
    a variant, with its workers, and that a pass takes without waiting; 0 = not known.
    """

    share: float
    seconds: float
    variant_seconds: float
    pass_seconds: float
    workers: int


Evidence = (
    InputWait
    | BatchesReady
    | StepIsTheLimit
    | PythonBetweenSteps
    | SlowWorkerInput
    | NothingTimed
    | WaitNotTimed
    | CoresTaken
    | LargestParts
    | TracedParts
    | TracedWait
    | FasterTrace
    | FixedCost
    | ReplicaExchange
    | NoMarkedSteps
    | NoDevices
    | StageShare
    | SpeedWithout
    | OtherProcesses
    | SlowedDown
    | GpuHeldBack
    | GpuSlowLink
    | GpuErrors
    | GpuShared
    | FewSteps
    | RoundsDisagree
    | RoundsApart
    | PartOfStep
    | SlowInputStage
    | UnexplainedWait
    | SharedCores
    | BesideSteps
    | SpreadBesideSteps
    | ColdFirstPass
    | LateVariants
    | CpuQuota
    | MoreReplicasThanCores
    | KilledForMemory
    | StalledForMemory
    | DroppedForMemory
)
