"""The training loop: steps, epochs, validation, saving.

The state of a run is (step, finished epochs, sums of the epoch so far, callbacks); everything
else, the order of the data and every random number among it, is a function of the step. So a
run goes on from any saved step, also from one between an epoch's last step and its validation.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from trainer import devices
from trainer.checkpoints import BEST, LAST, Checkpoints
from trainer.errors import DataError
from trainer.evaluation import Evaluator, figures, read_error
from trainer.metrics import wilson_interval
from trainer.profiling import StepProfiler
from trainer.reader import Reader
from trainer.run_directory import RunDirectory
from trainer.session import SUMS, Session, add_optimizer, model_graph, train_functions
from trainer.tensorboard import TensorBoardLog
from trainer.timing import StepClock

LOOK_AT_LOSS_EVERY = 20  # calls; looking waits for the device, so not at each
EXIT_DIVERGED = os.EX_SOFTWARE  # 70
EXIT_RESTART = os.EX_TEMPFAIL  # 75

# What Keras's callbacks carry from epoch to epoch.
_CALLBACK_STATE = ("wait", "best", "best_epoch", "stopped_epoch", "cooldown_counter")


class Diverged(Exception):
    """The loss or a weight is no longer finite."""


class Loop:
    """Trains one session. `run()` returns when the run is done; SIGTERM ends it with 75."""

    def __init__(
        self,
        session: Session,
        reader: Reader,
        validation: dict[str, Reader],
        classes: tuple[str, ...],
        directory: RunDirectory,
        say: Callable[[str], None],
    ) -> None:
        config = session.config
        self._session, self._reader, self._say = session, reader, say
        self._classes, self._directory = classes, directory
        self._steps_per_epoch = config.steps_per_epoch or reader.steps_per_pass
        self.total_steps = config.epochs * self._steps_per_epoch
        self._optimizer = add_optimizer(session, self.total_steps)
        self._train_one, self._train_several = train_functions(session)
        self._evaluators = {
            name: Evaluator(session, split, config.validation_steps)
            for name, split in validation.items()
        }
        self._checkpoints = Checkpoints(directory.checkpoints, config.checkpoint.keep)
        self._callbacks = _callbacks(config, session)
        self.metric, self._greater = _watched(config, session)
        self._terminated = False
        self.step = 0
        self.epochs = 0
        self.best: float | None = None
        self.stopped = ""
        self._sums = np.zeros(SUMS)
        self._pending: list[Any] = []
        self._clock = StepClock(measures_waiting=config.steps_per_execution == 1)
        self.history: list[dict[str, Any]] = []
        self.seconds = 0.0

    def run(self) -> None:
        """Trains until all epochs are done.

        Raises:
          Diverged: the loss is no longer finite; the state before it is kept.
          DataError: a shard is damaged.
          SystemExit: 75, saved after SIGTERM.
        """
        self._restore()
        self.history = self._directory.history(self.epochs)
        log = TensorBoardLog(
            str(self._directory.tensorboard),
            resume_step=self.step,
            histograms=self._session.config.tensorboard.histograms,
        )
        if self._session.config.tensorboard.graph:
            log.graph(*model_graph(self._session))
        before = signal.signal(signal.SIGTERM, self._on_signal)
        try:
            while self.epochs < self._session.config.epochs and not self.stopped:
                self._run_epoch()
                self._finish_epoch(log)
        except tf.errors.OpError as error:
            raise read_error(self._reader, error) from error
        finally:
            signal.signal(signal.SIGTERM, before)
            log.close()

    def _run_epoch(self) -> None:
        end = (self.epochs + 1) * self._steps_per_epoch
        config = self._session.config
        if self.step == end:
            return  # only its validation was missing
        batches = self._batches()
        profiler = StepProfiler(config.profile.steps, self._directory.tensorboard)
        started = self.step - self.epochs * self._steps_per_epoch
        with (
            tqdm(
                total=self._steps_per_epoch,
                initial=started,
                unit="step",
                disable=None,
                desc=f"epoch {self.epochs + 1}/{config.epochs}",
                leave=False,
            ) as bar,
            profiler,
        ):
            calls = 0
            while self.step < end:
                steps = min(config.steps_per_execution, end - self.step, self._until_save())
                profiler.before(self.step)
                self._call(batches, steps)
                profiler.after(self.step)
                calls += 1
                bar.update(steps)
                if calls % LOOK_AT_LOSS_EVERY == 0:
                    self._look_at_loss()
                    bar.set_postfix(loss=f"{self._mean_loss():.4f}", refresh=False)
                every = config.checkpoint.every_steps
                if self._terminated or (every and self.step % every == 0):
                    self._save()
        self._look_at_loss()

    def _call(self, batches: Iterator[Any], steps: int) -> None:
        started = time.perf_counter()
        waited = 0.0
        if self._session.config.steps_per_execution == 1:
            batch = next(batches)
            waited = time.perf_counter() - started
            self._pending.append(self._train_one(batch))
        else:
            self._pending.append(self._train_several(batches, tf.constant(steps)))
        self.step += steps
        elapsed = time.perf_counter() - started
        self._clock.add(steps, elapsed, waited)
        self.seconds += elapsed

    def _until_save(self) -> int:
        every = self._session.config.checkpoint.every_steps
        return every - self.step % every if every else sys.maxsize

    def _batches(self) -> Iterator[Any]:
        return iter(
            devices.distribute(
                self._session.strategy, lambda part: self._reader.dataset(self.step, part)
            )
        )

    def _look_at_loss(self) -> None:
        """Takes in the sums of the calls so far; raises Diverged where they are not finite."""
        for sums in self._pending:
            self._sums += np.asarray(sums, np.float64)
        self._pending.clear()
        if not np.isfinite(self._sums).all():
            raise Diverged(f"the loss is not finite after step {self.step}")

    def _mean_loss(self) -> float:
        return float(self._sums[0] / self._sums[1]) if self._sums[1] else math.nan

    def _finish_epoch(self, log: TensorBoardLog) -> None:
        row = self._training_row()
        self._clock.restart()
        started = time.perf_counter()
        for at, (name, evaluator) in enumerate(self._evaluators.items()):
            prefix = "val_" if at == 0 else f"val_{name}_"
            found = figures(self._session, evaluator.outputs(), self._classes)
            metric = self._session.task.metric
            row[f"{prefix}loss"] = found["loss"]
            row[f"{prefix}{metric}"] = found[metric]
            row[f"{prefix}{metric}_interval"] = found["interval"]
        row["validation_seconds"] = time.perf_counter() - started
        for callback in self._callbacks.values():
            callback.on_epoch_end(self.epochs, _numbers(row))
        if self._session.model.stop_training:
            self.stopped = f"early: {self.metric} did not improve"
        self.epochs += 1
        self._sums[:] = 0
        self._keep_best(row)
        self._save()
        self.history.append(row)
        self._directory.append(row)
        log.epoch(row)
        log.weights(self._session.model, self.step)
        self._say(_line(row, self._session))

    def _training_row(self) -> dict[str, Any]:
        loss, weight, right, counted = self._sums
        metric = self._session.task.metric
        per_step = self._session.config.batch_size * self._reader.pictures_a_record
        return {
            "epoch": self.epochs + 1,
            "step": self.step,
            "loss": float(loss / weight),
            metric: float(right / counted) if counted else None,
            f"{metric}_interval": list(wilson_interval(right, counted)) if counted else None,
            "learning_rate": _learning_rate(self._optimizer),
            "seconds": self.seconds,
            **self._clock.figures(per_step),
        }

    def _keep_best(self, row: dict[str, Any]) -> None:
        value = row.get(self.metric)
        if value is None or math.isnan(value):
            return
        better = self.best is None or (value > self.best if self._greater else value < self.best)
        if better:
            self.best = value
            self._checkpoints.save(BEST, self._session, {**self._state(), "metric": self.metric})

    def _save(self) -> None:
        """Saves the last state; exits with 75 where SIGTERM has come."""
        self._look_at_loss()
        for variable in self._session.model.trainable_variables:
            if not bool(tf.reduce_all(tf.math.is_finite(variable))):
                raise Diverged(f"'{variable.name}' is not finite after step {self.step}")
        self._checkpoints.save(LAST, self._session, self._state())
        if self._terminated:
            self._say(f"SIGTERM: saved at step {self.step}; the same command goes on from there")
            sys.exit(EXIT_RESTART)

    def _state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "epochs": self.epochs,
            "sums": self._sums.tolist(),
            "best": self.best,
            "stopped": self.stopped,
            "seconds": self.seconds,
            "replicas": self._session.strategy.num_replicas_in_sync,
            "callbacks": {
                name: {k: _plain(getattr(c, k)) for k in _CALLBACK_STATE if hasattr(c, k)}
                for name, c in self._callbacks.items()
            },
        }

    def _restore(self) -> None:
        for path in self._checkpoints.states(LAST):
            try:
                state = self._checkpoints.read_state(path)
                self._checkpoints.restore(path, self._session)
            except DataError as error:
                self._say(f"warning: {error}; trying the one before")
                continue
            self.step, self.epochs = state["step"], state["epochs"]
            self.best, self.stopped = state["best"], state["stopped"]
            self.seconds = state["seconds"]
            self._sums = np.asarray(state["sums"])
            for name, values in state["callbacks"].items():
                for key, value in values.items():
                    setattr(self._callbacks[name], key, value)
            self._say(f"going on from step {self.step} of {self.total_steps}")
            if state["replicas"] != self._session.strategy.num_replicas_in_sync:
                self._say(
                    f"warning: saved on {state['replicas']} replicas; sums are added in another "
                    "order now, so the run is no longer the same bit for bit"
                )
            return

    def _on_signal(self, number: int, frame: object) -> None:
        del number, frame
        self._terminated = True


def _callbacks(config: Any, session: Session) -> dict[str, Any]:
    """Keras's callbacks for what it does well; their state is saved by name."""
    metric, greater = _watched(config, session)
    mode = "max" if greater else "min"
    callbacks: dict[str, Any] = {}
    if config.early_stopping.patience:
        callbacks["early_stopping"] = tf.keras.callbacks.EarlyStopping(
            monitor=metric,
            mode=mode,
            patience=config.early_stopping.patience,
            min_delta=config.early_stopping.min_delta,
        )
    if config.reduce_on_plateau.patience:
        callbacks["reduce_on_plateau"] = tf.keras.callbacks.ReduceLROnPlateau(
            monitor=metric,
            mode=mode,
            patience=config.reduce_on_plateau.patience,
            factor=config.reduce_on_plateau.factor,
            min_lr=config.reduce_on_plateau.min_learning_rate,
        )
    session.model.stop_training = False
    for callback in callbacks.values():
        callback.set_model(session.model)
        callback.on_train_begin()
    return callbacks


def _watched(config: Any, session: Session) -> tuple[str, bool]:
    """The metric that best, stopping and plateau watch, and whether greater is better."""
    default = "val_loss" if config.data.validation_splits else "loss"
    metric = config.checkpoint.best_metric or default
    return metric, metric.endswith(session.task.metric)


def _learning_rate(optimizer: Any) -> float:
    # With a schedule, Keras gives the value of the current step here.
    return float(tf.keras.backend.get_value(optimizer.learning_rate))


def _numbers(row: dict[str, Any]) -> dict[str, float]:
    return {k: v for k, v in row.items() if isinstance(v, (int, float))}


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _line(row: dict[str, Any], session: Session) -> str:
    """An epoch in one line, for people."""
    parts = [f"epoch {row['epoch']}/{session.config.epochs}", f"step {row['step']}"]
    metric = session.task.metric
    for prefix in ("", "val_"):
        if row.get(f"{prefix}loss") is not None:
            parts.append(f"{prefix}loss {row[f'{prefix}loss']:.4f}")
        if row.get(f"{prefix}{metric}") is not None:
            low, high = row[f"{prefix}{metric}_interval"]
            parts.append(f"{prefix}{metric} {row[f'{prefix}{metric}']:.3f} [{low:.3f}, {high:.3f}]")
    if row["images_per_second"]:
        parts.append(f"{row['images_per_second']:.0f} images/s")
    return "  ".join(parts)
