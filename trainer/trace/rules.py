"""What a trace advises: a rule a class, which says whether it applies and what to do."""

from __future__ import annotations

from typing import ClassVar, Protocol

from trainer import thresholds
from trainer.stages import (
    COLLECTIVE,
    DECODE,
    HOST_MAP,
    MODEL,
    OVERHEAD,
    PARSE,
    PREPROCESS,
    STORAGE,
    TABLE,
)
from trainer.trace.explanation import Explanation, Split
from trainer.trace.stages import crowding_stage, culprit, input_stage, operation_shares

REMEDIES = {
    STORAGE: "read more at a time (data.parallel_reads), or keep the dataset on a local disk",
    PARSE: "give the input more cores, or data.service more workers",
    DECODE: "build the dataset with --image_size, so that less is decoded",
    HOST_MAP: "do that work ahead of time (preprocess build --variants, --image_size), or on more "
    "machines (data.service)",
    TABLE: "build the dataset with a smaller --image_size, or data.variants=1, whose table is "
    "built once",
}
_NO_REDECODING = ", or decode once (data.image_table=decoded)"


def remedy(stage: str, explanation: Explanation) -> str:
    """What helps against a stage of the input."""
    able = stage == DECODE and explanation.redecodes is not False
    return REMEDIES[stage] + (_NO_REDECODING if able else "")


class Rule(Protocol):
    """One thing that a trace can show."""

    def share(self, explanation: Explanation) -> float:
        """Of step time; 0 where it is not known."""
        ...

    def applies(self, explanation: Explanation) -> bool:
        """Whether it is worth saying."""
        ...

    def advice(self, explanation: Explanation) -> str:
        """The share, and what to do."""
        ...


class _Part:
    """A rule on parts of the split: from `moderate` on."""

    parts: ClassVar[tuple[str, ...]]
    moderate: ClassVar[float]
    text: ClassVar[str]

    def share(self, explanation: Explanation) -> float:
        split = explanation.split or Split()
        return sum(getattr(split, part) for part in self.parts)

    def applies(self, explanation: Explanation) -> bool:
        return self.share(explanation) >= self.moderate

    def advice(self, explanation: Explanation) -> str:
        return f"{self.share(explanation):.1%} of step time is {self.text}"


class InputWait(_Part):
    """The step waits for batches that are not there when it asks for them."""

    parts = ("input",)
    moderate = thresholds.INPUT_MODERATE
    text = "waiting for input"

    def applies(self, explanation: Explanation) -> bool:
        """Not where a batch is there at once: then its handing over is what takes time. Not where
        there is some waiting because the cores are taken.
        """
        said = SharedCores().applies(explanation)  # with the same remedy
        return explanation.waits_for_input(self.moderate) and not said

    def advice(self, explanation: Explanation) -> str:
        """Names the stage that the pipeline waits for, and what is to be done about it."""
        found, stage = culprit(explanation.iterators), input_stage(explanation)
        if found is None or stage is None:
            return (
                f"{super().advice(explanation)}, which no stage of its pipeline explains: let "
                "`diagnose` measure them"
            )
        each = found.total_ms / found.calls
        name = f"{found.kind} '{found.name}'" if found.name else found.kind
        return (
            f"{super().advice(explanation)}, of its stages the slowest is {stage} ({name}, "
            f"{each:.1f} ms a call): {remedy(stage, explanation)}"
        )


class Transfer(_Part):
    """Batches on their way to the device."""

    parts = ("transfer",)
    moderate = thresholds.INPUT_MODERATE
    text = (
        "copying batches to the device: store smaller pictures (--image_size); "
        "uint8 is what is sent already"
    )


class Output(_Part):
    """Results on their way back."""

    parts = ("output",)
    moderate = thresholds.OUTPUT_MODERATE
    text = "reading results back: let several steps run in a call (steps_per_execution=10)"


class KernelLaunch(_Part):
    """The host prepares kernels more slowly than the GPU runs them."""

    parts = ("kernel_launch",)
    moderate = thresholds.LAUNCH_MODERATE
    text = (
        "launching kernels: take a larger batch, set TF_GPU_THREAD_MODE=gpu_private, "
        "or with one replica jit_compile=true"
    )


class Collectives(_Part):
    """Replicas wait for each other's gradients."""

    parts = ("collectives",)
    moderate = thresholds.COLLECTIVE_MODERATE
    text = (
        "exchanging gradients: take a larger batch a replica, another distribute.all_reduce, or "
        "look for the replica that the others wait for (`diagnose` times each alone)"
    )

    def share(self, explanation: Explanation) -> float:
        """On a CPU it is operations that exchange, of which the split does not know."""
        operations = operation_shares(explanation)[COLLECTIVE] if explanation.split else 0.0
        return super().share(explanation) + operations


class Python(_Part):
    """Neither input nor device: the host between the steps."""

    parts = ("others",)
    moderate = thresholds.HOST_MODERATE
    text = (
        "neither input nor computing, which is Python: let several steps run in a call "
        "(steps_per_execution=10), or take a larger batch"
    )

    def share(self, explanation: Explanation) -> float:
        """With the handing over of batches that are there."""
        split = explanation.split or Split()
        return super().share(explanation) + (split.input if explanation.input_is_ready else 0.0)


class Between(_Part):
    """On a processor: what it takes to have the next operation run."""

    parts = ("between",)
    moderate = thresholds.HOST_HIGH
    text = "between the operations of a call: take a larger batch, so that each does more"


class Update(_Part):
    """An update of the weights takes the same for few pictures as for many."""

    parts = ()
    moderate = thresholds.HOST_HIGH
    text = "updating the weights, whatever the batch: take a larger one"

    def share(self, explanation: Explanation) -> float:
        """Of the part in which operations run, the update's."""
        return operation_shares(explanation)[OVERHEAD] if explanation.split else 0.0


class OnDeviceLayers(_Part):
    """What every step does anew to its pictures."""

    parts = ()
    moderate = thresholds.SECOND_PART
    text = "the on-device layers"

    def share(self, explanation: Explanation) -> float:
        """Of the part in which operations run, theirs."""
        return operation_shares(explanation)[PREPROCESS] if explanation.split else 0.0

    def advice(self, explanation: Explanation) -> str:
        """What they do decides what helps."""
        if explanation.augments is False:
            what = "which only resize and scale: build the dataset with a smaller --image_size"
        else:
            what = (
                "which augment: do so ahead of time (preprocess build --variants, "
                "augment.enabled=false)"
            )
        return f"{super().advice(explanation)}, {what}"


class Model(_Part):
    """The model itself."""

    parts = ()
    moderate = thresholds.MODEL_HIGH
    text = (
        "the model: take more or faster devices, a smaller image_size or a smaller model, and on "
        "GPUs with tensor cores precision=mixed_bfloat16"
    )

    def applies(self, explanation: Explanation) -> bool:
        """Not where a step waits for its input: a faster model would wait longer."""
        waits = explanation.waits_for_input(thresholds.INPUT_HIGH)
        return super().applies(explanation) and not waits

    def share(self, explanation: Explanation) -> float:
        """Of the part in which operations run, its."""
        return operation_shares(explanation)[MODEL] if explanation.split else 0.0


class SharedCores(_Part):
    """On a processor that is full, input takes from the step what it takes for itself."""

    parts = ()
    moderate = thresholds.INPUT_MODERATE

    def share(self, explanation: Explanation) -> float:
        """Of what runs on the processor."""
        found = crowding_stage(explanation)
        return found[1] if found else 0.0

    def advice(self, explanation: Explanation) -> str:
        """Names the stage, and what is to be done about it."""
        found = crowding_stage(explanation)
        assert found
        return (
            f"{found[1]:.1%} of what runs on the processor, which the steps share, is {found[0]}: "
            f"{remedy(found[0], explanation)}"
        )


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
    SharedCores(),
)
LAST: Rule = Model()


def advice(explanation: Explanation) -> list[str]:
    """What the rules that apply say, the largest share first; at the end what costs most to do."""
    found = [rule for rule in RULES if rule.applies(explanation)]
    found.sort(key=lambda rule: -rule.share(explanation))
    if LAST.applies(explanation):
        found.append(LAST)
    return [rule.advice(explanation) for rule in found]
