"""What the rules look at beside the measurements, and what they give."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Protocol

from trainer.diagnosis.measurements import Measurements
from trainer.diagnosis.step_model import Cost, StepModel


@dataclasses.dataclass(frozen=True)
class Facts:
    """What of configuration, dataset and machine the rules look at.

    Attributes:
      task: of the dataset.
      table: "decoded", "encoded", or "" where pictures are streamed.
      table_fits: whether a decoded table of the pictures in use fits into memory.
      decoded_share: with such a table, how many pictures are decoded for one that is used: 0 where
        it serves the whole run, 1/9 where each picture is in nine rows of a pass.
      raw_growth: bytes of a picture's pixels over those it is stored in; 0 = pixels are stored.
      stored_side: the larger side of the stored pictures; 0 = of several sizes.
      used_side: the side that enters the first on-device layer that makes it smaller.
      gather: what taking a step's pictures out of such a table would cost, as it was measured.
      shards: files of one variant of the split.
      parallel_reads, steps_per_execution, batch_size: as configured.
      steps_per_epoch: resolved.
      augment: whether there are on-device layers.
      deterministic: as configured.
      service: whether a tf.data service prepares the batches.
      gpu_capability: of the GPUs, the least; 0 = on the CPU.
      precision: as configured.
    """

    task: str
    table: str
    table_fits: bool
    decoded_share: float
    raw_growth: float
    stored_side: int
    used_side: int
    gather: Cost
    shards: int
    parallel_reads: int
    steps_per_execution: int
    batch_size: int
    steps_per_epoch: int
    augment: bool
    deterministic: bool
    service: bool
    gpu_capability: float
    precision: str


@dataclasses.dataclass(frozen=True)
class Advice:
    """One thing to change.

    Attributes:
      rule: the name of the class that gave it.
      text: what to do.
      images_per_second: what training would reach; None = the measurements do not say.
      change: configuration keys and their new values; {} = it is not a matter of them.
      same_training: whether what is learned stays the same; --apply makes only such a change.
    """

    rule: str
    text: str
    images_per_second: float | None = None
    change: Mapping[str, str] = dataclasses.field(default_factory=dict)
    same_training: bool = True


class Rule(Protocol):
    """What every rule has."""

    def __call__(self, facts: Facts, model: StepModel, found: Measurements) -> Advice | None:
        """What to do, or None where the rule has nothing to say."""
