"""The one verdict on what holds a run back, as a value.

The loop's own clock, a trace and measured phases each make one, or refine the one before. Nothing
here is English: sentences.py turns it into what people read, and as_json() into what report.json
keeps.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Iterable, Mapping

from trainer.bottleneck.evidence import Evidence, InputWait
from trainer.bottleneck.remedies import REMEDIES
from trainer.bottleneck.thresholds import INPUT_HIGH


class Kind(enum.StrEnum):
    """What holds a run back, by the same name in the loop, a trace, `diagnose` and report.json."""

    INPUT = "input"
    INPUT_ONE_WORKER = "input_one_worker"
    COMPUTE = "compute"
    OVERHEAD = "overhead"
    COMMUNICATION = "communication"
    # Of the whole run, and not of its steps.
    START = "start"
    TABLE = "table"
    VALIDATION = "validation"
    SAVING = "saving"
    RESTARTS = "restarts"
    THROTTLED = "throttled"
    OVERSUBSCRIBED = "oversubscribed"
    MEMORY = "memory"
    UNKNOWN = "unknown"


class Source(enum.StrEnum):
    """How a verdict is known: phases decide, a trace explains, the loop's clock is always there."""

    LOOP = "loop"
    PROFILE = "profile"
    PHASES = "phases"


@dataclasses.dataclass(frozen=True)
class Advice:
    """One thing to change.

    Attributes:
      remedy: a key of `remedies.REMEDIES`, which has its text and the flags that make it.
      values: what the remedy's text and flags are filled in with.
      cause: the fact that asks for it; None = the verdict itself.
      images_per_second: what training would reach; None = the measurements do not say.
      gain: how many times as fast training would be: predicted by measured phases, the upper limit
        by a trace; None = unknown.
      of_run: whether it is the gain of the whole run, and not of its steps.
      at_most: whether the gain of the run is an upper limit.
    """

    remedy: str
    values: Mapping[str, str | float] = dataclasses.field(default_factory=dict)
    cause: Evidence | None = None
    images_per_second: float | None = None
    gain: float | None = None
    of_run: bool = False
    at_most: bool = False

    @property
    def change(self) -> dict[str, str]:
        """Configuration keys and their new values; {} = no key makes this change."""
        change = REMEDIES[self.remedy].change
        return {key: value.format(**self.values) for key, value in change.items()}

    @property
    def same_training(self) -> bool:
        """Whether what is learned stays the same; `diagnose --apply` makes only such changes."""
        return REMEDIES[self.remedy].same_training


@dataclasses.dataclass(frozen=True)
class Bottleneck:
    """What holds a run back, how that is known, and what to change.

    Attributes:
      kind: the cause.
      source: how it is known.
      stage: one of `trainer.monitoring.stages.STAGES`; None = unknown.
      shares: of a step's time by stage; None = unknown.
      input_tax: 1 - real speed / speed without input; None = unknown.
      evidence: the facts of the verdict, the most telling first.
      caveats: why it may not be the whole story.
      advice: what to change, the largest gain first.
      steps: the verdict of the steps alone, where something besides them comes first.
    """

    kind: Kind
    source: Source
    stage: str | None = None
    shares: Mapping[str, float] | None = None
    input_tax: float | None = None
    evidence: tuple[Evidence, ...] = ()
    caveats: tuple[Evidence, ...] = ()
    advice: tuple[Advice, ...] = ()
    steps: Bottleneck | None = None

    @property
    def is_slight(self) -> bool:
        """Whether there is some waiting for input, and more of something else."""
        first = self.evidence[0] if self.evidence else None
        if self.kind is not Kind.INPUT or not isinstance(first, InputWait):
            return False
        return first.share < INPUT_HIGH

    @property
    def blames_step(self) -> bool:
        """Whether it blames what the loop alone calls the step, not something besides it."""
        return self.kind is Kind.COMPUTE or self.is_slight


def upper_gain(share: float) -> float:
    """How many times as fast a step is at most without what takes a share of its time."""
    return 1 / (1 - share) if share < 1 else math.inf


def ranked(advice: Iterable[Advice]) -> tuple[Advice, ...]:
    """The largest gain first; what has no figure comes last, in its own order."""
    return tuple(
        sorted(advice, key=lambda a: -math.inf if a.gain is None else a.gain, reverse=True)
    )
