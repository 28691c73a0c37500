"""What one training is made of, on one of its workers; trainer.train makes it once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

from preprocess.dataset_format import Manifest
from trainer.config import Config
from trainer.data.reader import Reader
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
    """What watches the steps.

    Attributes:
      watchdog: ends a worker whose step takes too long.
      profiler: takes the traces.
      gpus: reads their counters.
      timeline: keeps what the worker spends its time on.
      progress_file: shows how far the run is; None on a worker that writes nothing of the run.
    """

    watchdog: Watchdog
    profiler: StepProfiler
    gpus: GpuMonitor
    timeline: Timeline
    progress_file: Path | None


@dataclasses.dataclass(frozen=True)
class StepRun:
    """What running steps takes, whether a training's or those that are only measured.

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
        """The configuration, which is the session's."""
        return self.session.config


@dataclasses.dataclass(frozen=True)
class Run(StepRun):
    """A training: its steps, and where they come from and go to.

    Attributes:
      validation: readers by split; best and stopping follow the first.
      dataset: where it is.
      manifest: its contents.
      directory: where this worker writes; of another than the first, a folder that goes away.
      checkpoints: of the run directory, which all workers share.
      say: takes a line for people.
    """

    validation: Mapping[str, Reader]
    dataset: str
    manifest: Manifest
    directory: RunDirectory
    checkpoints: Checkpoints
    say: Callable[[str], None]


def unwatched(say: Callable[[str], None]) -> Monitors:
    """Monitors that watch nothing, for steps that are only measured."""
    return Monitors(Watchdog(0, say), StepProfiler(), GpuMonitor(), Timeline(None), None)
