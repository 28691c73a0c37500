"""The steps of a training, each with its batch, timing, trace and loss.

trainer.training.loop handles epochs, validation and saving.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from preprocess.shell.errors import ConfigError
from trainer.config.keys import Config
from trainer.config.training_stages import Stage, stages_of
from trainer.data.open_input import OpenInput
from trainer.monitoring.memory_pressure import MemoryMonitor
from trainer.monitoring.processor import ProcessorMonitor
from trainer.monitoring.timeline import Activity
from trainer.monitoring.timing import HOST, STEP, WAIT, StepClock
from trainer.optimizers import build_optimizer
from trainer.optimizers.accumulation import check_accumulation
from trainer.optimizers.averages import check_averages
from trainer.training.epoch_row import bar_in_words
from trainer.training.numerics import NumericsCheck
from trainer.training.own_callbacks import BatchHooks
from trainer.training.progress import ProgressFile, epoch_bar
from trainer.training.record_log import RecordLog
from trainer.training.session import add_optimizer
from trainer.training.step_functions import sum_names, train_functions
from trainer.training.training_run import StepRun
from trainer.training.variant_wait import VariantWait
from trainer.workers import devices

LOOK_AT_LOSS_EVERY = 20  # calls; reading the loss waits for the device


class Diverged(Exception):
    """The loss or a weight is no longer finite."""


class Steps:
    """Runs the steps of one session, whose optimizer is built here.

    Attributes:
      train_one: runs one step: (batch) -> (sums, records).
      per_epoch, total: numbers of steps.
      done: steps so far; over all attempts of a run, once it is set.
      seconds: time spent in them, likewise.
      sums: of losses and counts, of the epoch so far.
      clock: where the time of the current epoch's steps was spent.
      pictures_a_step, replicas: of the global batch.
      progress: the progress file.
      processor: CPU use since run() was last called.
      memory: time waited for memory, likewise.
      record_log: which records each step took, if enabled.
      hooks: what the user's callbacks want to be called around each call.
      show_norms: takes the norms of the gradients at a step, by name, if they are asked for.
      show_graph: takes the function of the next call and its arguments, once it is traced.
    """

    def __init__(self, run: StepRun) -> None:
        config, session, reader = run.config, run.session, run.reader
        self._run = run
        run.monitors.profiler.facts |= {
            "gpus": devices.gpus_of(session.strategy),
            "jit": int(config.jit_compile),
            "augments": int(config.augment.enabled),
            "redecodes": int(reader.redecodes),
        }
        self.per_epoch = config.steps_per_epoch or reader.steps_per_pass
        self.total = config.epochs * self.per_epoch
        self.progress = ProgressFile(
            run.monitors.progress_file,
            self.total,
            reader.steps_per_pass,
            reader.live.now_read if reader.live else None,
        )
        self._variants = VariantWait(run, config.steps_per_execution)
        stage = session.stage
        check_lengths(config, self.per_epoch, stage.number + 1)  # not only when they begin
        steps = stage.epochs * self.per_epoch
        _check_length(config, stage, self.per_epoch, add_optimizer(session, steps))
        before = stage.first * self.per_epoch
        self.train_one, self._train_several = train_functions(session, before)
        self._numerics = NumericsCheck(session, before) if config.debug.check_numerics else None
        # Steps are looked at one by one where something is wrong.
        self._at_once = 1 if self._numerics or config.debug.eager else config.steps_per_execution
        self.done = 0
        self.seconds = 0.0
        self.sums = np.zeros(len(sum_names(session.task)))
        self._pending: list[Any] = []
        self.replicas = session.strategy.num_replicas_in_sync
        self.pictures_a_step = config.batch_size * reader.pictures_a_record
        self.clock = StepClock(measures_waiting=self._at_once == 1)
        self.processor = ProcessorMonitor(alone=run.workers.alone)
        self.memory = MemoryMonitor()
        self.record_log: RecordLog | None = None
        self.hooks: BatchHooks | None = None
        self.show_norms: Callable[[Mapping[str, float], int], None] | None = None
        self.show_graph: Callable[..., None] | None = None
        self._norms: list[tuple[int, tf.Tensor]] = []

    def follow(self, earlier: Steps) -> None:
        """Counts on from the steps of an earlier stage, at the end of an epoch."""
        self.done, self.seconds = earlier.done, earlier.seconds
        self.progress, self.record_log = earlier.progress, earlier.record_log
        self.show_norms = earlier.show_norms

    def run(
        self,
        batches: OpenInput,
        end: int,
        epoch: int,
        save: Callable[[], None] = lambda: None,
        save_failed: Callable[[], bool] = lambda: False,
        *,
        shown: bool = True,
    ) -> None:
        """Trains up to step `end` of an epoch.

        Args:
          batches: distributed, from the current step on; with several steps a call, of a dataset.
          end: see above.
          epoch: counted from 0.
          save: called when a state has to be saved or the run has to exit.
          save_failed: whether a save has failed, of which `save` says more.
          shown: whether a progress bar may be shown.

        Raises:
          Diverged: the loss is not finite.
        """
        config, clock, profiler = self._run.config, self.clock, self._run.monitors.profiler
        timeline, begun = self._run.monitors.timeline, self.done
        every, in_epoch = config.checkpoint.every_steps, begun - epoch * self.per_epoch
        bar = epoch_bar(epoch + 1, config.epochs, in_epoch, self.per_epoch, shown)
        with bar, profiler:
            calls = 0
            self._run.monitors.gpus.restart()
            self.processor.restart()
            self.memory.restart()
            timeline.enter(Activity.STEPS if clock.warm else Activity.TABLE)
            clock.start()
            while self.done < end:
                steps = min(self._at_once, end - self.done, self._until_look())
                if self._variants.before(self.done, steps, lambda: self._note(epoch), save):
                    clock.start()
                left = -(-(end - self.done) // self._at_once)
                if profiler.before(self.done, left, self.done == begun, end == self.total):
                    clock.start()
                batch = self.done - epoch * self.per_epoch
                if self.hooks:
                    self.hooks.begins(batch)
                self._call(batches, steps)
                if self.hooks:
                    clock.lap(HOST)
                    self.catch_up()
                    clock.lap(STEP)
                    self.hooks.ended(batch + steps - 1, {"loss": self._mean_loss()})
                profiler.after(self.done)
                calls += 1
                bar.update(steps)
                saves = bool(every) and self.done % every == 0
                drains = saves or profiler.is_over or self.done >= end
                if calls % LOOK_AT_LOSS_EVERY == 0 or drains:
                    clock.lap(HOST)
                    self.catch_up()
                    clock.caught_up()
                    if not bar.disable:
                        bar.set_postfix_str(self._postfix(), refresh=False)
                clock.lap(HOST)
                stop = self._run.workers.any_worker_soon(
                    self._run.signals.received is not None or save_failed()
                )
                # With several workers, this includes waiting for the step's collectives.
                clock.lap(STEP)
                self.seconds += clock.end(steps)
                timeline.stepped(self.done, clock.spent[WAIT], clock.spent[HOST])
                self.progress.update(self.done, epoch + 1, self.seconds)
                if profiler.is_over:
                    self._run.monitors.watchdog.alive("writing a trace", long=True)
                    with timeline.during(Activity.PROFILER):
                        profiler.finish()
                    clock.start()
                if stop or saves:
                    save()
                    clock.start()

    def _note(self, epoch: int) -> None:
        self.progress.update(self.done, epoch + 1, self.seconds, last=True)

    def catch_up(self) -> None:
        """Waits for the device and adds the sums of the calls so far.

        Raises:
          Diverged: they are not finite.
        """
        for sums in self._pending:
            self.sums += np.asarray(sums, np.float64)
        self._pending.clear()
        self._write_norms()
        if not np.isfinite(self.sums).all():
            raise Diverged(f"the loss is not finite after step {self.done}")

    def _call(self, batches: OpenInput, steps: int) -> None:
        # The first call traces and compiles.
        self._run.monitors.watchdog.alive(f"step {self.done + 1}", long=self._run.signals.idle)
        self.clock.lap(HOST)
        first, timeline = not self.clock.warm, self._run.monitors.timeline
        if self._at_once == 1:
            batch = next(batches)
            self.clock.lap(WAIT)
            if first:
                timeline.enter(Activity.COMPILE)
            if self._numerics:
                self._numerics.keep()
            sums, records = self.train_one(batch)
            if self._numerics and (problem := self._numerics.problem(batch, sums, self.done + 1)):
                raise Diverged(problem)
        else:
            self.clock.lap(WAIT)  # any waiting happens inside the call
            if first:
                timeline.enter(Activity.COMPILE)
            sums, records = self._train_several(batches.iterator, tf.constant(steps))
        self.clock.lap(STEP)
        if self.show_graph:  # traced by now, so that this takes no second trace
            if self._at_once == 1:
                self.show_graph(self.train_one, batch)
            else:
                self.show_graph(self._train_several, batches.iterator, tf.constant(steps))
            self.show_graph = None
        if first:
            timeline.enter(Activity.STEPS)
        self._run.signals.idle = False
        self._pending.append(sums)
        if self.record_log:
            self.record_log.write(self.done, records.numpy())
        self.done += steps
        every, norms = self._run.config.tensorboard.gradients, self._run.session.gradient_norms
        if norms and self.done % every == 0:
            self._norms.append((self.done, norms.read()))

    def _postfix(self) -> str:
        return bar_in_words(
            self._mean_loss(),
            self.clock,
            self.pictures_a_step,
            self.replicas,
            self._run.monitors.gpus,
        )

    def _mean_loss(self) -> float:
        """Of the epoch so far."""
        return float(self.sums[0] / self.sums[1]) if self.sums[1] else math.nan

    def _write_norms(self) -> None:
        norms = self._run.session.gradient_norms
        for step, values in self._norms:
            if norms and self.show_norms:
                self.show_norms(norms.scalars(values), step)
        self._norms.clear()

    def _until_look(self) -> int:
        """Steps until a state is saved or the gradients are looked at."""
        config = self._run.config
        wanted = (config.checkpoint.every_steps, config.tensorboard.gradients)
        return min((every - self.done % every for every in wanted if every), default=sys.maxsize)


def check_lengths(config: Config, steps_an_epoch: int, first: int = 0) -> None:
    """Raises ConfigError if a stage, from number `first` on, is too short for its optimizer."""
    for stage in stages_of(config)[first:]:
        _check_length(config, stage, steps_an_epoch, None)


def _check_length(
    config: Config,
    stage: Stage,
    steps_an_epoch: int,
    optimizer: tf.keras.optimizers.Optimizer | None,
) -> None:
    """Raises ConfigError if a stage is too short for its optimizer; None = to be built for this."""
    steps = stage.epochs * steps_an_epoch
    if stage.first >= config.epochs:
        return
    section = stage.applied(config).optimizer
    updates = steps // section.accumulate_steps
    try:
        check_accumulation(section, steps)
        check_averages(optimizer or build_optimizer(section, steps), updates)
    except ConfigError as error:
        if not stage.number:
            raise
        raise ConfigError(f"stages[{stage.number}]: {error}") from None
