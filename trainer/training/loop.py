"""The training loop: epochs, validation, saving. Steps are in steps.py.

The state of a run is (step, finished epochs, sums of the epoch so far, callbacks, step of the last
validation within an epoch). Everything else, including the order of the data and every random
number, is a function of the step. So a run can resume at any saved step, also between an epoch's
last step and its validation.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from preprocess.shell.errors import DataError
from preprocess.shell.json_text import JsonObject
from trainer.config.training_stages import stages_of
from trainer.data.open_input import OpenInput
from trainer.data.order import ReplicaSlice
from trainer.monitoring.profiling import planned, was_asked_for
from trainer.monitoring.tensorboard_log import TensorBoardLog
from trainer.monitoring.timeline import GOODPUT, Activity
from trainer.optimizers.current_rate import current_rate
from trainer.training.callbacks import Callbacks
from trainer.training.checkpoints import STAGE, name_of
from trainer.training.epoch_row import row_in_words, training_row, worker_waits
from trainer.training.evaluation import NotFiniteError, read_error
from trainer.training.opening import rates_in_words
from trainer.training.own_callbacks import ANOTHER, OwnCallbacks
from trainer.training.record_log import RecordLog
from trainer.training.replica_values import copy_weights
from trainer.training.resuming import other_replicas, restore_newest
from trainer.training.saver import Saver
from trainer.training.session import Session, finite_function, in_stage
from trainer.training.steps import Diverged, Steps
from trainer.training.training_run import Run
from trainer.training.validation import Validation, next_validation, validates_after
from trainer.workers import devices


class Loop:
    """Trains a run. `train()` returns when the run is done, or exits after a signal.

    Attributes:
      run: in its current stage.
      steps: runs and counts the steps.
      epochs: number of finished epochs.
      validation: of the splits; the first one decides about best and early stopping.
      best: the metric's best value; None if there is none yet.
      stopped: why the run ended early, or "".
      history: rows of metrics.jsonl.
    """

    def __init__(self, run: Run) -> None:
        self._saver = Saver(run, self._state)
        self._enter(run)
        self._input: OpenInput | None = None
        self.epochs = 0
        self.best: float | None = None
        self.stopped = ""
        self._begun = -1  # the last epoch of which the user's callbacks know that it began
        self._validated = 0  # step of the last validation within an epoch
        self.history: list[JsonObject] = []

    def _enter(self, run: Run, own: OwnCallbacks | None = None) -> None:
        """Begins with a run, or with a stage of it: all that belongs to its model and optimizer."""
        self.run = self._saver.run = run
        self.steps = Steps(run)
        self.validation = Validation(run.session, run.validation)
        self._callbacks = Callbacks(run.config, run.session.model, own)
        self.steps.hooks = self._callbacks.own.batch_hooks()
        self._all_finite = finite_function(run.session)

    @property
    def metric(self) -> str:
        """The metric that best, early stopping and plateau watch."""
        return self._callbacks.metric

    @property
    def finished(self) -> bool:
        """Whether nothing is left to train."""
        return bool(self.stopped) or self.epochs >= self.run.config.epochs

    def train(self, log: TensorBoardLog) -> None:
        """Trains until all epochs are done; call restore() first.

        Raises:
          Diverged: the loss is no longer finite; the last saved state is kept.
          DataError: a shard is damaged.
          RunRefusesState: a state or a row could not be written; the previous state is kept.
          SystemExit: saved after a signal; 75 after SIGTERM, 130 after Ctrl-C.
        """
        config, trains = self.run.config, not self.finished
        if trains and (self.run.workers.chief or config.profile.workers == "all"):
            windows = planned(config, self.steps.done, self.steps.total)
            self.run.monitors.profiler.plan(
                windows, config.steps_per_execution, was_asked_for(config.profile)
            )
        if trains:
            if self.run.reader.live:
                # A follower builds for the pass in which a run resumes, not that of its end.
                done, seconds = self.steps.done, self.steps.seconds
                self.steps.progress.update(done, self.epochs + 1, seconds, last=True)
            for line in self._callbacks.own.notes():
                self.run.say(line)
        if config.data.log_records:
            self.steps.record_log = RecordLog(self.run.directory.records_file, self.steps.done)
        self.steps.show_norms = log.scalars
        if config.tensorboard.graph and self.run.workers.chief and not config.debug.eager:
            self.steps.show_graph = log.graph
        try:
            with self.run.signals:
                self.run.signals.idle = True  # until the first call has been traced
                while not self.finished:
                    self._next_stage()
                    self._run_steps()
                    if self.steps.done < self._epoch_end:
                        self._validate_within_epoch(log)
                    else:
                        self._finish_epoch(log)
        except tf.errors.OpError as error:
            readers = (self.run.reader, *self.validation.readers.values())
            found = (read_error(reader, error) for reader in readers)
            raise next((each for each in found if each is not error), error) from error
        finally:
            self.run.monitors.timeline.enter(Activity.CLOSING)
            if self.run.reader.live:  # else its threads wait for variants that never come
                self.run.reader.live.close()
            if self._input:
                self._input.close()
                self._input = None
            self._saver.close()
        if trains:
            self._callbacks.own.train_ended()
        if self.run.monitors.profiler.waits and was_asked_for(config.profile):
            self.run.say("no trace taken: the run ended before the requested step")

    @property
    def _epoch_end(self) -> int:
        """The step at which the current epoch ends."""
        return (self.epochs + 1) * self.steps.per_epoch

    def _run_steps(self) -> None:
        """Trains up to the next validation or the end of the epoch."""
        last = max(self._validated, self.epochs * self.steps.per_epoch)
        wanted = self.run.config.validation
        end = min(self._epoch_end, next_validation(wanted, self.steps.done, last))
        if self._begun != self.epochs:
            self._callbacks.own.epoch_begins(self.epochs)
            self._begun = self.epochs
        if self.steps.done == end:
            return  # only the last validation was missing
        # One for all epochs: a new one would read the picture table again.
        self._input = self._input or self._open()
        self.steps.run(self._input, end, self.epochs, self._save, self._saver.failed)
        self.steps.catch_up()

    def _open(self) -> OpenInput:
        def dataset(part: ReplicaSlice) -> tf.data.Dataset:
            return self.run.reader.dataset(self.steps.done, part)

        return OpenInput(devices.distribute(self.run.session.strategy, dataset, endless=True))

    def _finish_epoch(self, log: TensorBoardLog) -> None:
        # Check before reporting or saving: a NaN state is neither validated nor best.
        self._check_finite()
        self.run.monitors.timeline.enter(Activity.CALLBACKS)
        row = self._training_row()
        self.steps.clock.restart()
        config, epoch = self.run.config, self.epochs + 1
        if (
            epoch == config.epochs
            or validates_after(config.validation, epoch, self.steps.done)
            or self._callbacks.would_stop(row)
        ):
            row |= self._validation_row()
        self._count(epoch, row)
        self._tell_own(row)
        self.epochs = epoch
        self.steps.sums[:] = 0
        self._save(best=self._keep(row))
        if self.finished:
            self.steps.progress.update(self.steps.done, self.epochs, self.steps.seconds, last=True)
        log.weights(self.run.session.model, self.steps.done)
        self._tell(row, log)

    def _next_stage(self) -> None:
        """Enters the next stage where one has ended."""
        before = self.run.session
        if self.epochs < before.stage.end:
            return
        self._saver.hand_over(wait=True)
        self.run.monitors.timeline.enter(Activity.BUILD)
        self.run.monitors.watchdog.alive("building the model of the next stage", long=True)
        self._enter_stage(before.number + 1)
        copy_weights(before, self.run.session)
        self.run.signals.idle = True  # until its first call has been traced
        for line in rates_in_words(self.run, self.steps, self.run.config):
            self.run.say(line)

    def _enter_stage(self, number: int) -> None:
        earlier = self.steps
        session = in_stage(self.run.session, number)
        self._enter(dataclasses.replace(self.run, session=session), self._callbacks.own)
        self.steps.follow(earlier)

    def _validate_within_epoch(self, log: TensorBoardLog) -> None:
        self._check_finite()
        self.run.monitors.timeline.enter(Activity.CALLBACKS)
        epochs = round(self.steps.done / self.steps.per_epoch, 4)
        rate = current_rate(self.run.session.model.optimizer)
        row = {"epoch": epochs, "step": self.steps.done, "learning_rate": rate}
        row |= self._validation_row()
        self._count(epochs, row)
        self._validated = self.steps.done
        best = self._keep(row)
        if best and not self.stopped:
            self._saver.hand_over(best=self.metric)
        if self.stopped:
            self._save(best=best)
            self.steps.progress.update(self.steps.done, self.epochs, self.steps.seconds, last=True)
        self._tell(row, log)

    def _validation_row(self) -> JsonObject:
        """Validates now; before the first validation, the state is saved."""
        if not self.validation.traced:
            # Tracing may outlast a grace period, so there must be nothing to save meanwhile.
            self._save(wait=True)
            self.run.signals.idle = True
        self.run.monitors.watchdog.alive("validation", long=True)
        self._callbacks.own.test_begins()
        try:
            with (
                self.run.monitors.timeline.during(Activity.VALIDATION),
                self.run.session.averages.in_place(),
            ):
                row = self.validation.row(self._save_if_stopped)
        except NotFiniteError as error:
            raise Diverged(f"{error} at step {self.steps.done}") from None
        self.run.signals.idle = False
        self._callbacks.own.test_ended(row)
        return row

    def _count(self, epochs: float, row: JsonObject) -> None:
        """Updates early stopping and the plateau schedule with the figures after these epochs."""
        if self._callbacks.measured(epochs, row):
            self._stop(epochs)

    def _tell_own(self, row: JsonObject) -> None:
        """Tells the user's callbacks, of which each worker has its own, that an epoch is over."""
        if self._callbacks.own:
            stops = self._callbacks.epoch_ended(self.epochs, row)
            if self.run.workers.any_worker(stops) and not self.stopped:
                self._callbacks.own.stopped_by = self._callbacks.own.stopped_by or ANOTHER
                self._stop(self.epochs + 1)

    def _stop(self, epochs: float) -> None:
        self.stopped = (
            f"early: after epoch {epochs:.6g} of {self.run.config.epochs}, as "
            f"{self._callbacks.early_stop()}"
        )

    def _keep(self, row: JsonObject) -> bool:
        """Writes the row; whether the state is the best one so far. The row is written before its
        states: a kill in between leaves an extra row, which a restart removes, and never a missing
        one.
        """
        with self._saver.writing():
            self.run.directory.append(row)
        self.history.append(row)
        value = row.get(self.metric)
        if value is None or not self._callbacks.better(value, self.best):
            return False
        self.best = value
        return True

    def _tell(self, row: JsonObject, log: TensorBoardLog) -> None:
        log.epoch(row)
        self.run.say(row_in_words(row, self.run.session))
        if self.stopped:
            self.run.say(f"stopped {self.stopped}; {self._callbacks.way_on()}")

    def _training_row(self) -> JsonObject:
        steps = self.steps
        speed = steps.clock.figures(steps.pictures_a_step, steps.replicas)
        return {
            "epoch": self.epochs + 1,
            "step": steps.done,
            **training_row(steps.sums, self.run.session),
            "seconds": steps.seconds,
            **speed,
            **self.run.monitors.gpus.figures(),
            **steps.processor.figures(),
            **steps.memory.figures(),
            GOODPUT: self.run.monitors.timeline.goodput(),
            **worker_waits(speed["input_wait_fraction"], self.run.workers),
        }

    def _save(self, *, best: bool = False, wait: bool = False) -> None:
        """Saves the last state, also as the best one; exits if any worker has received a signal."""
        self._check_finite()
        self._saver.save(best=self.metric if best else "", wait=wait or self.finished)

    def _save_if_stopped(self) -> None:
        """Between two batches of a validation."""
        self.run.monitors.watchdog.alive("validation", long=not self.validation.traced)
        if self.run.workers.any_worker(self.run.signals.received is not None):
            self._save()

    def _check_finite(self) -> None:
        self.steps.catch_up()
        if not bool(self._all_finite()):
            raise Diverged(
                f"a weight or a slot of the optimizer is not finite at step {self.steps.done}"
            )

    def _state(self) -> JsonObject:
        return {
            "step": self.steps.done,
            "epochs": self.epochs,
            "validated": self._validated,
            "sums": self.steps.sums.tolist(),
            "best": self.best,
            "stopped": self.stopped,
            "seconds": self.steps.seconds,
            "replicas": self.steps.replicas,
            "workers": self.run.workers.size,
            "callbacks": self._callbacks.state(),
            STAGE: self.run.session.number,
        }

    def restore(self) -> None:
        """Resumes from the newest state that can be restored, if there is one.

        Raises:
          DataError: there are states, but none can be restored.
          ConfigError: the workers do not see the same states.
        """

        def session_of(stage: int) -> Session:
            if not 0 <= stage < len(stages_of(self.run.config)):
                raise DataError(f"a saved state is of stage {stage + 1}, which the run has not")
            if stage != self.run.session.number:
                self._enter_stage(stage)
            return self.run.session

        state = restore_newest(self.run.checkpoints, session_of, self.run.workers, self.run.say)
        if state is None:
            self.history = self.run.directory.history(0)
            return
        self.steps.done, self.epochs = state["step"], state["epochs"]
        self._validated = state.get("validated", 0)
        self._saver.saved = name_of(state)
        self.best, self.stopped = state["best"], state["stopped"]
        self.steps.seconds = state["seconds"]
        self.steps.sums = np.asarray(state["sums"])
        for line in self._callbacks.set_state(state["callbacks"]):
            self.run.say(line)
        self.history = self.run.directory.history(self.epochs, self._validated)
        if self.stopped:
            self.stopped, line = self._callbacks.resumed(self.stopped)
            self.run.say(line)
        if not self.finished:
            self.run.say(f"resuming at step {self.steps.done} of {self.steps.total}")
        if state["replicas"] != self.steps.replicas:
            self.run.say(other_replicas(state["replicas"], self.run.session))
