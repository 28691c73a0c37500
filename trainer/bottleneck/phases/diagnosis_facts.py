"""What the rules of a diagnosis look at besides the measurements."""

from __future__ import annotations

import dataclasses

from trainer.bottleneck.phases.step_model import Cost


@dataclasses.dataclass(frozen=True)
class Facts:
    """What of configuration, dataset and machine the rules look at.

    Attributes:
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
      gpu_capability: of the GPUs, the least; 0 = on the CPU.
      precision: as configured.
    """

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
    gpu_capability: float
    precision: str
