"""The training loop: steps, epochs, validation, saving.

The state of a run is (step, finished epochs, sums of the epoch so far, callbacks); everything
else, the order of the data and every random number among it, is a function of the step. So a
run goes on from any saved step, also from one between an epoch's last step and its validation.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from trainer import devices
from trainer.callbacks import Callbacks
from trainer.checkpoints import BEST, LAST, Checkpoints
from trainer.crew import Crew
from trainer.epoch_row import bar_in_words, row_in_words, training_row, worker_waits
from trainer.evaluation import NotFiniteError, read_error
from trainer.gpu_monitor import GpuMonitor
from trainer.order import ReplicaSlice
from trainer.profiling import StepProfiler, planned, was_asked_for
from trainer.progress import ProgressFile, epoch_bar
from trainer.reader import Reader
from trainer.record_log import RecordLog
from trainer.resuming import other_replicas, restore_newest
from trainer.run_directory import RunDirectory
from trainer.session import SUMS, Session, add_optimizer, finite_function, train_functions
from trainer.signals import StopSignals
from trainer.tensorboard import TensorBoardLog
from trainer.timing import HOST, STEP, WAIT, StepClock
from trainer.validation import Validation
from trainer.watchdog import Watchdog

LOOK_AT_LOSS_EVERY = 20  # calls; looking waits for the device, so not at each
EXIT_DIVERGED = os.EX_SOFTWARE  # 70


class Diverged(Exception):
    """The loss or a weight is no longer finite."""


class Loop:
    """Trains one session. `run()` returns when the run is done, or leaves after a signal.

    Attributes:
      train_one: the function of one step: (batch) -> (sums, records).
      validation: of the splits, by the first of which best and stopping go.
      clock: where the time of the current epoch's steps went.
      pictures_a_step: of the global batch.
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
        config = session.config
        self._crew = crew or Crew()
        self._watchdog = watchdog or Watchdog(0, say)
        self._profiler = profiler or StepProfiler()
        self._gpus = gpus or GpuMonitor()
        self._profiler.facts |= {
            "gpus": devices.gpus_of(session.strategy),
            "jit": int(config.jit_compile),
        }
        self._session, self._reader, self._say = session, reader, say
        self._directory = directory
        self._steps_per_epoch = config.steps_per_epoch or reader.steps_per_pass
        self.total_steps = config.epochs * self._steps_per_epoch
        add_optimizer(session, self.total_steps)
        self.train_one, self._train_several = train_functions(session)
        self.validation = Validation(session, validation, classes)
        self._checkpoints = checkpoints
        self._callbacks = Callbacks(config, session.model, session.task.metric)
        self._all_finite = finite_function(session)
        self._batches: Iterator[Any] | None = None
        self._signals = StopSignals(say)
        self._record_log: RecordLog | None = None
        self._progress = ProgressFile(
            directory.progress_file if self._crew.chief else None, self.total_steps
        )
        self.step = 0
        self.epochs = 0
        self.best: float | None = None
        self.stopped = ""
        self._saved = (0, 0)  # step and epochs of the last state: it is never replaced by itself
        self._sums = np.zeros(SUMS)
        self._pending: list[Any] = []
        self._replicas = session.strategy.num_replicas_in_sync
        self.pictures_a_step = config.batch_size * reader.pictures_a_record
        self.clock = StepClock(measures_waiting=config.steps_per_execution == 1)
        self.history: list[dict[str, Any]] = []
        self.seconds = 0.0

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
            windows = planned(config, self.step, self.total_steps)
            self._profiler.plan(windows, config.steps_per_execution)
        if config.data.log_records:
            self._record_log = RecordLog(self._directory.records_file, self.step)
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
        end = (self.epochs + 1) * self._steps_per_epoch
        if self.step == end:
            return  # only its validation was missing
        # One iterator for all epochs: a new one would read the pass's table again.
        if self._batches is None:
            self._batches = self._iterator()
        self.run_steps(self._batches, end)
        self.catch_up()

    def run_steps(self, batches: Iterator[Any], end: int, *, shown: bool = True) -> None:
        """Trains up to step `end` of the epoch, with all that a step has around it.

        Args:
          batches: distributed, from the current step on; with several steps a call, a dataset's
            own iterator.
          end: a step of the current epoch.
          shown: whether there may be a progress bar.
        """
        config, clock, profiler = self._session.config, self.clock, self._profiler
        first = self.epochs * self._steps_per_epoch
        done = self.step - first
        bar = epoch_bar(self.epochs + 1, config.epochs, done, self._steps_per_epoch, shown)
        with bar, profiler:
            calls = 0
            self._gpus.restart()
            clock.start()
            while self.step < end:
                steps = min(config.steps_per_execution, end - self.step, self._until_save())
                left = -(-(end - self.step) // config.steps_per_execution)
                if profiler.before(self.step, left, self.step == first, end == self.total_steps):
                    clock.start()
                self._call(batches, steps)
                profiler.after(self.step)
                calls += 1
                bar.update(steps)
                every = config.checkpoint.every_steps
                saves = bool(every) and self.step % every == 0
                drains = saves or profiler.is_over or self.step >= end
                if calls % LOOK_AT_LOSS_EVERY == 0 or drains:
                    clock.lap(HOST)
                    self.catch_up()
                    clock.caught_up()
                    if not bar.disable:
                        bar.set_postfix_str(self._postfix(), refresh=False)
                clock.lap(HOST)
                stop = self._crew.anyone_soon(self._signals.received is not None)
                clock.lap(STEP)  # with others it waits for the collectives of the step
                self.seconds += clock.end(steps)
                self._progress.update(self.step, self.epochs + 1, self.seconds)
                if profiler.is_over:
                    self._watchdog.alive("writing a trace", long=True)
                    profiler.finish()
                    clock.start()
                if stop or saves:
                    self._save()
                    clock.start()

    def _call(self, batches: Iterator[Any], steps: int) -> None:
        # The first call traces and compiles.
        self._watchdog.alive(f"step {self.step + 1}", long=self._signals.idle)
        self.clock.lap(HOST)
        if self._session.config.steps_per_execution == 1:
            batch = next(batches)
            self.clock.lap(WAIT)
            sums, records = self.train_one(batch)
        else:
            self.clock.lap(WAIT)  # what there is of it lies in the call
            sums, records = self._train_several(batches, tf.constant(steps))
        self.clock.lap(STEP)
        self._signals.idle = False
        self._pending.append(sums)
        if self._record_log:
            self._record_log.write(self.step, records.numpy())
        self.step += steps

    def _postfix(self) -> str:
        return bar_in_words(
            self._mean_loss(), self.clock, self.pictures_a_step, self._replicas, self._gpus
        )

    def _until_save(self) -> int:
        every = self._session.config.checkpoint.every_steps
        return every - self.step % every if every else sys.maxsize

    def _iterator(self) -> Iterator[Any]:
        def dataset(part: ReplicaSlice) -> Any:
            return self._reader.dataset(self.step, part)

        return iter(devices.distribute(self._session.strategy, dataset, endless=True))

    def catch_up(self) -> None:
        """Waits for the device and takes in the sums of the calls so far.

        Raises:
          Diverged: they are not finite.
        """
        for sums in self._pending:
            self._sums += np.asarray(sums, np.float64)
        self._pending.clear()
        if not np.isfinite(self._sums).all():
            raise Diverged(f"the loss is not finite after step {self.step}")

    def _mean_loss(self) -> float:
        return float(self._sums[0] / self._sums[1]) if self._sums[1] else math.nan

    def _finish_epoch(self, log: TensorBoardLog) -> None:
        # Before anything is said or kept of it: a NaN state is neither validated nor best.
        self._check_finite()
        row = self._training_row()
        self.clock.restart()
        if not self.validation.traced:
            # Tracing it may outlast a grace period, so there must be nothing to save meanwhile.
            self._save()
            self._signals.idle = True
        self._watchdog.alive("validation", long=True)
        try:
            row |= self.validation.row(self._save_if_stopped)
        except NotFiniteError as error:
            raise Diverged(f"{error} at step {self.step}") from None
        self._signals.idle = False
        if self._callbacks.epoch_ended(self.epochs, row):
            self.stopped = f"early: {self.metric} did not improve"
        self.epochs += 1
        self._sums[:] = 0
        self._keep_best(row)
        # The row before the state: a kill in between leaves a row too many, which a restart
        # drops, and never one too few.
        self._directory.append(row)
        self.history.append(row)
        self._save()
        if self.finished:
            self._progress.update(self.step, self.epochs, self.seconds, last=True)
        log.epoch(row)
        log.weights(self._session.model, self.step)
        self._say(row_in_words(row, self._session))

    def _training_row(self) -> dict[str, Any]:
        speed = self.clock.figures(self.pictures_a_step, self._replicas)
        return {
            "epoch": self.epochs + 1,
            "step": self.step,
            **training_row(self._sums, self._session),
            "seconds": self.seconds,
            **speed,
            **self._gpus.figures(),
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
        if self._saved != (self.step, self.epochs):
            self._checkpoints.save(LAST, self._session, self._state())
            self._saved = (self.step, self.epochs)
        number = self._signals.received
        if self._crew.anyone(number is not None):
            name = number.name if number else "a signal to another worker"
            self._say(f"{name}: saved at step {self.step}; the same command goes on there")
            sys.exit(self._signals.exit_code)

    def _save_if_stopped(self) -> None:
        """Between two batches of a validation."""
        self._watchdog.alive("validation", long=not self.validation.traced)
        if self._crew.anyone(self._signals.received is not None):
            self._save()

    def _check_finite(self) -> None:
        self.catch_up()
        if not bool(self._all_finite()):
            raise Diverged(f"a weight or a slot of the optimizer is not finite at step {self.step}")

    def _state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "epochs": self.epochs,
            "sums": self._sums.tolist(),
            "best": self.best,
            "stopped": self.stopped,
            "seconds": self.seconds,
            "replicas": self._replicas,
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
        self._saved = self.step, self.epochs = state["step"], state["epochs"]
        self.best, self.stopped = state["best"], state["stopped"]
        self.seconds = state["seconds"]
        self._sums = np.asarray(state["sums"])
        self._callbacks.set_state(state["callbacks"])
        self.history = self._directory.history(self.epochs)
        if not self.finished:
            self._say(f"going on from step {self.step} of {self.total_steps}")
        if state["replicas"] != self._replicas:
            self._say(other_replicas(state["replicas"], self._session))

    def _read_error(self, error: tf.errors.OpError) -> BaseException:
        for reader in (self._reader, *self.validation.readers.values()):
            found = read_error(reader, error)
            if found is not error:
                return found
        return error
