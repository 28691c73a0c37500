"""The training loop: epochs, validation, saving. The steps themselves are in trainer.steps.

The state of a run is (step, finished epochs, sums of the epoch so far, callbacks); everything
else, the order of the data and every random number among it, is a function of the step. So a
run goes on from any saved step, also from one between an epoch's last step and its validation.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from trainer import devices
from trainer.callbacks import Callbacks
from trainer.checkpoints import BEST, LAST, Checkpoints
from trainer.crew import Crew
from trainer.epoch_row import row_in_words, training_row, worker_waits
from trainer.evaluation import NotFiniteError, read_error
from trainer.gpu_monitor import GpuMonitor
from trainer.order import ReplicaSlice
from trainer.profiling import StepProfiler, planned, was_asked_for
from trainer.reader import Reader
from trainer.record_log import RecordLog
from trainer.resuming import other_replicas, restore_newest
from trainer.run_directory import RunDirectory
from trainer.session import Session, finite_function
from trainer.signals import StopSignals
from trainer.steps import Diverged, Steps
from trainer.tensorboard import TensorBoardLog
from trainer.validation import Validation
from trainer.watchdog import Watchdog


class Loop:
    """Trains one session. `run()` returns when the run is done, or leaves after a signal.

    Attributes:
      steps: runs the steps; knows how many there were.
      epochs: finished ones.
      validation: of the splits, by the first of which best and stopping go.
      best: of its metric; None where there is none yet.
      stopped: why the run ended before its time, or "".
      history: rows of metrics.jsonl.
    """

    def __init__(
        self,
        session: Session,
        reader: Reader,
        validation: dict[str, Reader],
        classes: tuple[str, ...],
        directory: RunDirectory,
        checkpoints: Checkpoints,
        say: Callable[[str], None],
        crew: Crew | None = None,
        watchdog: Watchdog | None = None,
        profiler: StepProfiler | None = None,
        gpus: GpuMonitor | None = None,
    ) -> None:
        self._crew = crew or Crew()
        self._watchdog = watchdog or Watchdog(0, say)
        self._profiler = profiler or StepProfiler()
        self._gpus = gpus or GpuMonitor()
        self._session, self._reader, self._say = session, reader, say
        self._directory = directory
        self._signals = StopSignals(say)
        self.steps = Steps(
            session,
            reader,
            self._signals,
            self._crew,
            self._watchdog,
            self._profiler,
            self._gpus,
            directory.progress_file if self._crew.chief else None,
        )
        self.validation = Validation(session, validation, classes)
        self._checkpoints = checkpoints
        self._callbacks = Callbacks(session.config, session.model, session.task.metric)
        self._all_finite = finite_function(session)
        self._batches: Iterator[Any] | None = None
        self.epochs = 0
        self.best: float | None = None
        self.stopped = ""
        self._saved = (0, 0)  # step and epochs of the last state: it is never replaced by itself
        self.history: list[dict[str, Any]] = []

    @property
    def metric(self) -> str:
        """What best, stopping and plateau watch."""
        return self._callbacks.metric

    @property
    def finished(self) -> bool:
        """Whether nothing is left to train."""
        return bool(self.stopped) or self.epochs >= self._session.config.epochs

    def run(self, log: TensorBoardLog) -> None:
        """Trains until all epochs are done; restore() comes before it.

        Raises:
          Diverged: the loss is no longer finite; the state before it is kept.
          DataError: a shard is damaged.
          OutputError: a state could not be written, the one before it is kept.
          SystemExit: saved after a signal; 75 after SIGTERM, 130 after Ctrl-C.
        """
        config = self._session.config
        if not self.finished and (self._crew.chief or config.profile.workers == "all"):
            windows = planned(config, self.steps.done, self.steps.total)
            self._profiler.plan(windows, config.steps_per_execution, was_asked_for(config))
        if config.data.log_records:
            self.steps.record_log = RecordLog(self._directory.records_file, self.steps.done)
        try:
            with self._signals:
                self._signals.idle = True  # until the first call has been traced
                while not self.finished:
                    self._run_epoch()
                    self._finish_epoch(log)
        except tf.errors.OpError as error:
            raise self._read_error(error) from error
        finally:
            self._batches = None
        if self._profiler.waits and was_asked_for(config):
            self._say("no trace: the run had no calls left for it where it should have begun")

    def _run_epoch(self) -> None:
        end = (self.epochs + 1) * self.steps.per_epoch
        if self.steps.done == end:
            return  # only its validation was missing
        # One iterator for all epochs: a new one would read the pass's table again.
        if self._batches is None:
            self._batches = self._iterator()
        self.steps.run(self._batches, end, self.epochs, self._save)
        self.steps.catch_up()

    def _iterator(self) -> Iterator[Any]:
        def dataset(part: ReplicaSlice) -> Any:
            return self._reader.dataset(self.steps.done, part)

        return iter(devices.distribute(self._session.strategy, dataset, endless=True))

    def _finish_epoch(self, log: TensorBoardLog) -> None:
        # Before anything is said or kept of it: a NaN state is neither validated nor best.
        self._check_finite()
        row = self._training_row()
        self.steps.clock.restart()
        if not self.validation.traced:
            # Tracing it may outlast a grace period, so there must be nothing to save meanwhile.
            self._save()
            self._signals.idle = True
        self._watchdog.alive("validation", long=True)
        try:
            row |= self.validation.row(self._save_if_stopped)
        except NotFiniteError as error:
            raise Diverged(f"{error} at step {self.steps.done}") from None
        self._signals.idle = False
        if self._callbacks.epoch_ended(self.epochs, row):
            self.stopped = f"early: {self.metric} did not improve"
        self.epochs += 1
        self.steps.sums[:] = 0
        self._keep_best(row)
        # The row before the state: a kill in between leaves a row too many, which a restart
        # drops, and never one too few.
        self._directory.append(row)
        self.history.append(row)
        self._save()
        if self.finished:
            self.steps.progress.update(self.steps.done, self.epochs, self.steps.seconds, last=True)
        log.epoch(row)
        log.weights(self._session.model, self.steps.done)
        self._say(row_in_words(row, self._session))

    def _training_row(self) -> dict[str, Any]:
        steps = self.steps
        speed = steps.clock.figures(steps.pictures_a_step, steps.replicas)
        return {
            "epoch": self.epochs + 1,
            "step": steps.done,
            **training_row(steps.sums, self._session),
            "seconds": steps.seconds,
            **speed,
            **self._gpus.figures(),
            **steps.processor.figures(),
            **worker_waits(speed["input_wait_fraction"], self._crew),
        }

    def _keep_best(self, row: dict[str, Any]) -> None:
        value = row.get(self.metric)
        if value is not None and self._callbacks.better(value, self.best):
            self.best = value
            self._checkpoints.save(BEST, self._session, {**self._state(), "metric": self.metric})

    def _save(self) -> None:
        """Saves the last state; leaves where a signal has come, to whichever worker."""
        self._watchdog.alive("saving", long=True)
        self._check_finite()
        if self._saved != (self.steps.done, self.epochs):
            self._checkpoints.save(LAST, self._session, self._state())
            self._saved = (self.steps.done, self.epochs)
        number = self._signals.received
        if self._crew.anyone(number is not None):
            name = number.name if number else "a signal to another worker"
            self._say(f"{name}: saved at step {self.steps.done}; the same command goes on there")
            sys.exit(self._signals.exit_code)

    def _save_if_stopped(self) -> None:
        """Between two batches of a validation."""
        self._watchdog.alive("validation", long=not self.validation.traced)
        if self._crew.anyone(self._signals.received is not None):
            self._save()

    def _check_finite(self) -> None:
        self.steps.catch_up()
        if not bool(self._all_finite()):
            raise Diverged(
                f"a weight or a slot of the optimizer is not finite at step {self.steps.done}"
            )

    def _state(self) -> dict[str, Any]:
        return {
            "step": self.steps.done,
            "epochs": self.epochs,
            "sums": self.steps.sums.tolist(),
            "best": self.best,
            "stopped": self.stopped,
            "seconds": self.steps.seconds,
            "replicas": self.steps.replicas,
            "workers": self._crew.size,
            "callbacks": self._callbacks.state(),
        }

    def restore(self) -> None:
        """Goes on from the newest state that can be restored, where there is one.

        Raises:
          DataError: there are states, and none can be restored.
          ConfigError: the workers do not see the same states.
        """
        state = restore_newest(self._checkpoints, self._session, self._crew, self._say)
        if state is None:
            self.history = self._directory.history(0)
            return
        self._saved = self.steps.done, self.epochs = state["step"], state["epochs"]
        self.best, self.stopped = state["best"], state["stopped"]
        self.steps.seconds = state["seconds"]
        self.steps.sums = np.asarray(state["sums"])
        self._callbacks.set_state(state["callbacks"])
        self.history = self._directory.history(self.epochs)
        if not self.finished:
            self._say(f"going on from step {self.steps.done} of {self.steps.total}")
        if state["replicas"] != self.steps.replicas:
            self._say(other_replicas(state["replicas"], self._session))

    def _read_error(self, error: tf.errors.OpError) -> BaseException:
        for reader in (self._reader, *self.validation.readers.values()):
            found = read_error(reader, error)
            if found is not error:
                return found
        return error
