"""What a trace says, as plain data."""

from __future__ import annotations

import dataclasses

from trainer.bottleneck.thresholds import GET_NEXT_MICROSECONDS, PROCESSOR_FULL
from trainer.bottleneck.trace.operations import MAY_WAIT, stage_of_operation

# The profiler's words for a machine whose steps run on its processor, and on GPUs.
CPU, GPU = "CPU_ONLY", "GPU"


@dataclasses.dataclass(frozen=True)
class Split:
    """Shares of the marked steps' time; they add up to 1.

    Attributes:
      input: waiting for the next batch.
      transfer: copying it to the device.
      output: copying results back.
      kernel_launch: the host preparing kernels (GPU).
      compile: the host compiling.
      host_compute: operations on the host; on a CPU the step itself, as long as at least one of
        its operations runs.
      device_compute: operations on the device, copies between devices among them.
      collectives: the device exchanging with other replicas, and waiting for them.
      between: on a CPU, within a call and between operations.
      others: none of these, which is Python.
    """

    input: float = 0.0
    transfer: float = 0.0
    output: float = 0.0
    kernel_launch: float = 0.0
    compile: float = 0.0
    host_compute: float = 0.0
    device_compute: float = 0.0
    collectives: float = 0.0
    between: float = 0.0
    others: float = 0.0


@dataclasses.dataclass(frozen=True)
class IteratorTime:
    """A stage of a tf.data pipeline.

    Attributes:
      path: its place, outermost first, such as ("Iterator", "Root", "Prefetch", "ParallelMapV2").
      name: the `name=` it was given; "" if it has none. Stages that tf.data fused into one
        carry the names of all, as in "fused(decode,host_map)".
      calls: how often an element was asked for.
      total_ms: in these calls.
      self_ms: of it, not in the stages it asked in turn on its own thread: work, or waiting for
        work on other threads.
      longest_ms: the longest call.
      awaited: whether the step itself asked, and not a thread that works ahead.
    """

    path: tuple[str, ...]
    name: str
    calls: int
    total_ms: float
    self_ms: float
    longest_ms: float
    awaited: bool

    @property
    def kind(self) -> str:
        """The last of its path, such as "ParallelMapV2"."""
        return self.path[-1]


@dataclasses.dataclass(frozen=True)
class OperationTime:
    """An operation's own time over the trace, and its share of all on the same place."""

    name: str
    type: str
    on_device: bool
    calls: int
    self_ms: float
    share: float

    @property
    def stage(self) -> str | None:
        """What it is for; None for input of which that is not known."""
        return stage_of_operation(self.name, self.type, self.on_device)

    @property
    def may_wait(self) -> bool:
        """Whether its time may be waiting for something outside, which fills no core."""
        return bool(MAY_WAIT.search(self.type))


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What a trace of one machine says.

    Attributes:
      host: the machine.
      hardware: in the profiler's words, such as "CPU_ONLY" or "GPU".
      steps: calls that were marked as steps; one holds `steps_per_execution` training steps.
      step_ms: mean time of one; None without steps.
      split: what it went to; None without steps.
      iterators: stages of the input pipelines, the most self time first.
      operations: the most time first.
      cores: of the processor, for this process; None = not known.
      gpus: of this process.
      augments: whether the on-device layers augment; None = not known.
      redecodes: whether a table of decoded pictures would save decoding; None = not known.
      running: operations that the host runs at a time, the input's among them, but for those that
        may be waiting for something; None = not known.
      busy: cores that the process had on average, by its processor time; 0.0 = not known.
    """

    host: str
    hardware: str
    steps: int
    step_ms: float | None
    split: Split | None
    iterators: tuple[IteratorTime, ...]
    operations: tuple[OperationTime, ...]
    cores: int | None = None
    gpus: int = 0
    augments: bool | None = None
    redecodes: bool | None = None
    running: float | None = None
    busy: float = 0.0

    @property
    def lacks_devices(self) -> bool:
        """Whether there are GPUs and the trace has nothing of them: the profiler may not look."""
        return self.gpus > 0 and self.hardware == CPU

    @property
    def device_idle(self) -> float | None:
        """Share of step time in which the device did nothing; None on a CPU, which is both."""
        if self.split is None or self.hardware == CPU:
            return None
        return max(0.0, 1 - self.split.device_compute - self.split.collectives)

    @property
    def is_processor_full(self) -> bool:
        """Whether the steps run on a processor that has no core left: by the processor time of
        the process, or as more is to run at a time than there are cores.
        """
        return self._fills_cores(self.busy) or self.operations_queue

    @property
    def operations_queue(self) -> bool:
        """Whether the host's operations wait for cores, those that do are running, too."""
        return self._fills_cores(self.running or 0.0)

    def _fills_cores(self, number: float) -> bool:
        if self.hardware != CPU or self.gpus or not self.cores:
            return False
        return number >= PROCESSOR_FULL * self.cores

    def waits_for_input(self, limit: float) -> bool:
        """Whether waiting for input takes a share of a step's time, from a limit on."""
        return self.split is not None and self.split.input >= limit and not self.input_is_ready

    @property
    def get_next_us(self) -> float | None:
        """Mean microseconds from asking for a batch to having it; None where nobody asked."""
        asked = [iterator for iterator in self.iterators if iterator.awaited]
        calls = sum(iterator.calls for iterator in asked)
        return 1000 * sum(iterator.total_ms for iterator in asked) / calls if calls else None

    @property
    def input_is_ready(self) -> bool:
        """Whether batches are there when they are asked for.

        Then what the split has for the input is the time of handing them over, which is overhead.
        """
        latency = self.get_next_us
        return latency is not None and latency <= GET_NEXT_MICROSECONDS
