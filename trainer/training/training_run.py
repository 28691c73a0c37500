"""The parts of one training on one of its workers; trainer.train builds it once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from trainer.config import Config
from trainer.data.reader import Reader, SetReader
from trainer.data.sets import TrainingSet
from trainer.monitoring.gpu_monitor import GpuMonitor
from trainer.monitoring.profiling import StepProfiler
from trainer.monitoring.timeline import Timeline
from trainer.training.checkpoints import Checkpoints
from trainer.training.run_directory import RunDirectory
from trainer.training.session import Session
from trainer.workers.signals import StopSignals
from trainer.workers.watchdog import Watchdog
from trainer.workers.worker_group import WorkerGroup


@dataclasses.dataclass(frozen=True)
class Monitors:
    """Monitors of the steps.

    Attributes:
      watchdog: ends a worker whose step takes too long.
      profiler: takes traces.
      gpus: reads GPU counters.
      timeline: records the worker's activities.
      progress_file: shows the progress; None on a worker that does not write it.
    """

    watchdog: Watchdog
    profiler: StepProfiler
    gpus: GpuMonitor
    timeline: Timeline
    progress_file: Path | None


@dataclasses.dataclass(frozen=True)
class StepRun:
    """What running steps needs, in a training or in a measurement.

    Attributes:
      session: without optimizer; Steps adds it.
      reader: of the training split.
      workers: this one and the others.
      signals: whether the run should stop.
    """

    session: Session
    reader: Reader
    workers: WorkerGroup
    signals: StopSignals
    monitors: Monitors

    @property
    def config(self) -> Config:
        """The session's configuration."""
        return self.session.config


@dataclasses.dataclass(frozen=True)
class Run(StepRun):
    """A training: its steps, their inputs and outputs.

    Attributes:
      validation: readers by split; the first one decides about best and early stopping.
      sets: the datasets.
      directory: where this worker writes; on workers other than the first, a temporary folder.
      checkpoints: of the run directory that all workers share.
      say: takes a message.
    """

    validation: Mapping[str, SetReader]
    sets: Sequence[TrainingSet]
    directory: RunDirectory
    checkpoints: Checkpoints
    say: Callable[[str], None]


def unwatched(say: Callable[[str], None]) -> Monitors:
    """Inactive monitors, for steps that are only measured."""
    return Monitors(Watchdog(0, say), StepProfiler(), GpuMonitor(), Timeline(None), None)
