"""What a trace advises: a rule a class, which finds its share of a step and gives an advice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Protocol

from trainer.bottleneck import thresholds
from trainer.bottleneck.bottleneck import Advice, ranked, upper_gain
from trainer.bottleneck.evidence import PartOfStep, SharedCores, SlowInputStage, UnexplainedWait
from trainer.bottleneck.trace.explanation import Explanation, Split
from trainer.bottleneck.trace.trace_stages import (
    costliest_layer,
    crowding_stage,
    culprit,
    input_stage,
    operation_shares,
)
from trainer.monitoring.stages import COLLECTIVE, DECODE, MODEL, OVERHEAD, PREPROCESS


def stage_remedy(stage: str, explanation: Explanation) -> str:
    """The name of what helps against a stage of the input."""
    decoded_once = stage == DECODE and explanation.redecodes is False
    return "decode_from_table" if decoded_once else stage


class Rule(Protocol):
    """One thing that a trace can show."""

    def share(self, explanation: Explanation) -> float:
        """Of step time; 0 if it is not known."""
        ...

    def applies(self, explanation: Explanation) -> bool:
        """Whether it is worth an advice."""
        ...

    def advice(self, explanation: Explanation) -> Advice:
        """What to do, with the share of step time that asks for it."""
        ...


class _Part:
    """A rule on parts of the split, from `moderate` on.

    Attributes:
      parts: of Split.
      moderate: share from which on it applies.
      part: what it is called in sentences.PARTS.
      remedy: in remedies.REMEDIES.
    """

    parts: ClassVar[tuple[str, ...]]
    moderate: ClassVar[float]
    part: ClassVar[str]
    remedy: ClassVar[str]

    def share(self, explanation: Explanation) -> float:
        split = explanation.split or Split()
        return sum(getattr(split, part) for part in self.parts)

    def applies(self, explanation: Explanation) -> bool:
        return self.share(explanation) >= self.moderate

    def advice(self, explanation: Explanation) -> Advice:
        share = self.share(explanation)
        return Advice(self.remedy, cause=PartOfStep(self.part, share), gain=upper_gain(share))


class InputWait(_Part):
    """The step waits for batches that are not there when it asks for them."""

    parts = ("input",)
    moderate = thresholds.INPUT_MODERATE

    def applies(self, explanation: Explanation) -> bool:
        """Not where a batch is there at once: then its handing over is what takes time. Not where
        there is some waiting because the cores are taken, which has the same remedy.
        """
        cores_taken = CrowdedCores().applies(explanation)
        return explanation.waits_for_input(self.moderate) and not cores_taken

    def advice(self, explanation: Explanation) -> Advice:
        """Names the stage that the pipeline waits for, and what is to be done about it."""
        share = self.share(explanation)
        slowest, stage = culprit(explanation.iterators), input_stage(explanation)
        if slowest is None or stage is None:
            return Advice("diagnose_input", cause=UnexplainedWait(share), gain=upper_gain(share))
        ms = slowest.total_ms / slowest.calls
        cause = SlowInputStage(share, stage, slowest.kind, slowest.name, ms)
        return Advice(stage_remedy(stage, explanation), cause=cause, gain=upper_gain(share))


class Transfer(_Part):
    """Batches on their way to the device."""

    parts = ("transfer",)
    moderate = thresholds.INPUT_MODERATE
    part = "transfer"
    remedy = "send_smaller"


class Output(_Part):
    """Results on their way back."""

    parts = ("output",)
    moderate = thresholds.OUTPUT_MODERATE
    part = "output"
    remedy = "fewer_calls"


class KernelLaunch(_Part):
    """The host prepares kernels more slowly than the GPU runs them."""

    parts = ("kernel_launch",)
    moderate = thresholds.LAUNCH_MODERATE
    part = "kernel_launch"
    remedy = "fewer_kernels"


class Collectives(_Part):
    """Replicas wait for each other's gradients."""

    parts = ("collectives",)
    moderate = thresholds.COLLECTIVE_MODERATE
    part = "collectives"
    remedy = "less_exchange"

    def share(self, explanation: Explanation) -> float:
        """On a CPU it is operations that exchange, of which the split does not know."""
        return super().share(explanation) + _of_operations(explanation, COLLECTIVE)


class Python(_Part):
    """Neither input nor device: the host between the steps."""

    parts = ("others",)
    moderate = thresholds.HOST_MODERATE
    part = "others"
    remedy = "fewer_calls_or_larger_batch"

    def share(self, explanation: Explanation) -> float:
        """With the handing over of batches that are there."""
        split = explanation.split or Split()
        return super().share(explanation) + (split.input if explanation.input_is_ready else 0.0)


class Between(_Part):
    """On a processor: what it takes to have the next operation run."""

    parts = ("between",)
    moderate = thresholds.HOST_HIGH
    part = "between"
    remedy = "larger_operations"


class Update(_Part):
    """An update of the weights takes the same for few pictures as for many."""

    parts = ()
    moderate = thresholds.HOST_HIGH
    part = "update"
    remedy = "fewer_updates"

    def share(self, explanation: Explanation) -> float:
        """Of the part in which operations run, the update's."""
        return _of_operations(explanation, OVERHEAD)


class OnDeviceLayers(_Part):
    """What every step repeats for its pictures."""

    parts = ()
    moderate = thresholds.SECOND_PART

    def share(self, explanation: Explanation) -> float:
        """Of the part in which operations run, theirs."""
        return _of_operations(explanation, PREPROCESS)

    def advice(self, explanation: Explanation) -> Advice:
        """What they do decides what helps."""
        share = self.share(explanation)
        values: dict[str, str | float] = {}
        if explanation.augments is False:
            part, remedy = "resizing_layers", "resize_ahead"
        elif costliest := costliest_layer(explanation):
            part, remedy = "augmenting_layers", "augment_costliest_ahead"
            values = {"layer": costliest[0], "share": 100 * costliest[1]}
        else:
            part, remedy = "augmenting_layers", "augment_ahead"
        return Advice(remedy, values, cause=PartOfStep(part, share), gain=upper_gain(share))


class CrowdedCores(_Part):
    """On a processor that is full, input takes from the step what it takes for itself."""

    parts = ()
    moderate = thresholds.INPUT_MODERATE

    def share(self, explanation: Explanation) -> float:
        """Of what runs on the processor."""
        crowding = crowding_stage(explanation)
        return crowding[1] if crowding else 0.0

    def advice(self, explanation: Explanation) -> Advice:
        """Names the stage, and what is to be done about it."""
        crowding = crowding_stage(explanation)
        assert crowding
        stage, share = crowding
        remedy = stage_remedy(stage, explanation)
        return Advice(remedy, cause=SharedCores(stage, share), gain=upper_gain(share))


class Model(_Part):
    """The model itself."""

    parts = ()
    moderate = thresholds.MODEL_HIGH
    part = "model"
    remedy = "faster_model"

    def applies(self, explanation: Explanation) -> bool:
        """Not where a step waits for its input: a faster model would wait longer."""
        waits = explanation.waits_for_input(thresholds.INPUT_HIGH)
        return super().applies(explanation) and not waits

    def share(self, explanation: Explanation) -> float:
        """Of the part in which operations run, its."""
        return _of_operations(explanation, MODEL)

    def advice(self, explanation: Explanation) -> Advice:
        """Without a gain, which nobody can promise of another model or device: it comes last."""
        return Advice(self.remedy, cause=PartOfStep(self.part, self.share(explanation)))


def _of_operations(explanation: Explanation, stage: str) -> float:
    shares: Mapping[str, float] = operation_shares(explanation) if explanation.split else {}
    return shares.get(stage, 0.0)


RULES: tuple[Rule, ...] = (
    InputWait(),
    Transfer(),
    Output(),
    KernelLaunch(),
    Collectives(),
    Python(),
    Between(),
    Update(),
    OnDeviceLayers(),
    CrowdedCores(),
    Model(),
)


def trace_advice(explanation: Explanation) -> tuple[Advice, ...]:
    """What the rules that apply advise, the largest possible gain first."""
    return ranked(rule.advice(explanation) for rule in RULES if rule.applies(explanation))
