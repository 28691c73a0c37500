"""What was measured: seconds of a training step, phase by phase. Plain numbers."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Timing:
    """One phase, measured several times.

    Attributes:
      seconds: on the clock, for what one training step needs of the phase; one number a round.
      cpu_seconds: of processor time, all threads of this process, likewise.
    """

    seconds: tuple[float, ...]
    cpu_seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Seconds on the clock."""
        return statistics.median(self.seconds)

    @property
    def best(self) -> float:
        """Seconds on the clock of the fastest round: other work on a machine only ever adds."""
        return min(self.seconds)

    @property
    def cpu(self) -> float:
        """Median of the processor time in seconds."""
        return statistics.median(self.cpu_seconds)

    @property
    def spread(self) -> float:
        """Largest less smallest, over the median."""
        return (max(self.seconds) - min(self.seconds)) / self.median if self.median else 0.0

    def round(self, number: int) -> Timing:
        """One round of it."""
        return Timing((self.seconds[number],), (self.cpu_seconds[number],))


@dataclasses.dataclass(frozen=True)
class InputTiming:
    """A reader's pipeline up to and including a stage.

    Attributes:
      stage: one of `trainer.monitoring.stages.INPUT_STAGES`.
      timing: of what a step needs; where `once`, of a whole table.
      once: whether it is done at the start of a run only.
    """

    stage: str
    timing: Timing
    once: bool = False


@dataclasses.dataclass(frozen=True)
class Measurements:
    """All phases of a diagnosis; a step is that of the global batch.

    Attributes:
      pictures_a_step: of all replicas and workers.
      replicas: of all workers.
      cores: processor cores this process may use.
      inputs: the cuts of the reader in order, of the worker with the slowest, for which all others
        wait. After "table" they start again: what comes then gathers from a table that is ready.
      transfer: batches on their devices, by the whole input pipeline.
      nothing: a call of a function that does nothing, on all replicas.
      preprocess: the on-device layers on a resident batch.
      step: the training step on a resident batch, by itself.
      small_preprocess, small_step: the same two for `small` times the batch.
      small: see above; not 1.
      all_reduce: summing tensors of the gradients' shapes over the replicas.
      each_replica: forward and backward pass of one replica's share, replica by replica, while
        the others of its process rest. By worker.
      resident: the training loop with all that is around a step, on a resident batch.
      full: the same on what the input pipeline gives: training as it is.
      worker_inputs: seconds of a step's input, by worker; () = not known.
      processor, processor_of_others: shares of this machine's processor that this process and all
        others took meanwhile; None = not known.
      layers: (name, seconds of a step) of each on-device layer; () = not measured.
    """

    pictures_a_step: int
    replicas: int
    cores: float
    inputs: tuple[InputTiming, ...]
    transfer: Timing
    nothing: Timing
    preprocess: Timing
    step: Timing
    small_preprocess: Timing
    small_step: Timing
    small: float
    all_reduce: Timing
    each_replica: tuple[tuple[float, ...], ...]
    resident: Timing
    full: Timing
    worker_inputs: tuple[float, ...] = ()
    processor: float | None = None
    processor_of_others: float | None = None
    layers: tuple[tuple[str, float], ...] = ()

    def replica_name(self, worker: int, replica: int) -> str:
        """Of one of each_replica."""
        of = f" of worker {worker}" if len(self.each_replica) > 1 else ""
        return f"replica {replica}{of}"

    def images_per_second(self, seconds: float) -> float:
        """The speed at that many seconds a step."""
        return self.pictures_a_step / seconds if seconds else float("inf")

    @property
    def rounds(self) -> list[Measurements]:
        """Each round of the phases by itself; what has no rounds is in all of them."""
        timings = [
            f.name for f in dataclasses.fields(self) if isinstance(getattr(self, f.name), Timing)
        ]
        return [
            dataclasses.replace(
                self,
                inputs=tuple(
                    dataclasses.replace(cut, timing=cut.timing.round(number)) for cut in self.inputs
                ),
                **{name: getattr(self, name).round(number) for name in timings},
            )
            for number in range(len(self.full.seconds))
        ]


def chains(inputs: Sequence[InputTiming]) -> list[list[InputTiming]]:
    """The cuts that continue one another: those up to a table, and those after it.

    A table that is filled once a run is no part of a step.
    """
    result: list[list[InputTiming]] = [[]]
    for cut in inputs:
        if not cut.once:
            result[-1].append(cut)
        if cut.stage == "table":
            result.append([])
    return [chain for chain in result if chain]
