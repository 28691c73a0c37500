"""Traces for tests: real ones of small loops, and synthetic ones of a GPU that is not there."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from trainer.monitoring.profiling import StepProfiler, Window

WARM_UP = 10  # steps that use up what was made ready while the first one was traced
PICOSECONDS = 10**9  # a millisecond


def sleeping(seconds: float) -> Callable[[Any], Any]:
    """A function for `Dataset.map` that takes so long, on one thread."""
    import tensorflow as tf

    def sleep(value: Any) -> Any:
        time.sleep(seconds)
        return value

    def function(element: Any) -> Any:
        slept = tf.numpy_function(sleep, [element], tf.int64)
        slept.set_shape(element.shape)
        return slept

    return function


def trace(
    folder: Path, dataset: Any, steps: int = 10, *, steps_a_call: int = 0, marked: bool = True
) -> Path:
    """Traces a loop of some milliseconds a step over a dataset of numbers; returns the file.

    Args:
      folder: where to.
      dataset: of numbers.
      steps: how many calls.
      steps_a_call: with 1 or more, so many steps are a loop in the graph.
      marked: whether the calls are marked as steps.
    """
    import tensorflow as tf

    weights = tf.random.normal((400, 400))

    @tf.function
    def step(batch: Any) -> Any:
        value = weights
        for _ in range(4):
            value = tf.tanh(value @ weights)
        return tf.reduce_sum(value) + tf.reduce_sum(tf.cast(batch, tf.float32))

    @tf.function
    def several(batches: Any) -> Any:
        total = tf.zeros([])
        for _ in tf.range(steps_a_call):
            total += step(next(batches))
        return total

    batches = iter(dataset)

    def call() -> None:
        (several(batches) if steps_a_call else step(next(batches))).numpy()

    if not marked:
        tf.profiler.experimental.start(str(folder))
        for _ in range(steps):
            call()
        tf.profiler.experimental.stop()
    else:
        profiler = StepProfiler(folder)
        profiler.plan([Window(WARM_UP, steps)], 1)
        end = WARM_UP + steps
        with profiler:
            for number in range(end):
                profiler.before(number, end - number, number == 0, True)
                call()
                profiler.after(number + 1)
            profiler.finish()
    [file] = folder.rglob("*.xplane.pb")
    return file


class Plane:
    """A plane of a synthetic trace: events by name, with what is known of them."""

    def __init__(self, space: Any, name: str) -> None:
        self._plane = space.planes.add(name=name)
        self._numbers: dict[str, int] = {}

    def line(self, name: str) -> Any:
        """A thread or stream."""
        return self._plane.lines.add(id=len(self._plane.lines) + 1, name=name)

    def event(self, line: Any, name: str, start_ms: float, ms: float, **stats: int | str) -> None:
        """An event of a line."""
        event = line.events.add(
            metadata_id=self._number(self._plane.event_metadata, name),
            offset_ps=int(start_ms * PICOSECONDS),
            duration_ps=int(ms * PICOSECONDS),
        )
        for key, value in stats.items():
            stat = event.stats.add(metadata_id=self._number(self._plane.stat_metadata, key))
            setattr(stat, "str_value" if isinstance(value, str) else "int64_value", value)

    def _number(self, table: Any, name: str) -> int:
        number = self._numbers.setdefault(name, len(self._numbers) + 1)
        table[number].id, table[number].name = number, name
        return number


def gpu_trace(
    folder: Path,
    *,
    steps: int = 10,
    step_ms: float = 20.0,
    kernels: Mapping[str, tuple[str, float]],
    launch_ms: float = 0.1,
) -> Path:
    """A synthetic trace of one GPU: in each step its kernels one after another.

    Args:
      folder: where to.
      steps: how many.
      step_ms: of each.
      kernels: (operation as NAME:TYPE, milliseconds) by the kernel's name.
      launch_ms: of the host, for each kernel, one after another from the step's start on.
    """
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace()
    host, gpu = Plane(space, "/host:CPU"), Plane(space, "/device:GPU:0")
    python, stream = host.line("python"), gpu.line("Stream #1")
    number = 0
    for step in range(steps):
        start = step * step_ms
        host.event(python, "train", start, step_ms, step_num=step, _r=1)
        busy = start + launch_ms * len(kernels)
        for at, (kernel, (operation, ms)) in enumerate(kernels.items()):
            number += 1
            launched = start + at * launch_ms
            host.event(python, "cuLaunchKernel", launched, launch_ms, correlation_id=number)
            gpu.event(stream, kernel, busy, ms, correlation_id=number, tf_op=operation)
            busy += ms
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "gpu.xplane.pb"
    file.write_bytes(space.SerializeToString())
    return file
