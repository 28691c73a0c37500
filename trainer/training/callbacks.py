"""Early stopping and lowering the learning rate: Keras's callbacks, with a saved state; and the
user's own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf

from preprocess.shell.errors import ConfigError
from preprocess.shell.json_text import JsonObject
from trainer.config.keys import Config
from trainer.config.measure_table import greater_is_better
from trainer.optimizers.current_rate import has_rate
from trainer.training.own_callbacks import OwnCallbacks, numbers

STOPPING, OWN = "early_stopping", "own"
# The attributes that they carry from epoch to epoch.
_STATE = ("wait", "best", "best_epoch", "stopped_epoch", "cooldown_counter")


class Callbacks:
    """The callbacks that a configuration selects.

    Attributes:
      metric: what best, early stopping and plateau watch.
      greater: whether higher is better.
      own: the user's.
    """

    def __init__(
        self, config: Config, model: tf.keras.Model, own: OwnCallbacks | None = None
    ) -> None:
        """Takes the run's configuration, a compiled model, and the user's callbacks if an earlier
        stage has made them.
        """
        default = "val_loss" if config.data.validation_splits else "loss"
        self.metric: str = config.checkpoint.best_metric or default
        self.greater = greater_is_better(self.metric, config.metrics)
        self._model = model
        self._callbacks: dict[str, tf.keras.callbacks.Callback] = {}
        watched = {"monitor": self.metric, "mode": "max" if self.greater else "min"}
        stopping, plateau = config.early_stopping, config.reduce_on_plateau
        if stopping.patience:
            self._callbacks[STOPPING] = tf.keras.callbacks.EarlyStopping(
                patience=stopping.patience, min_delta=stopping.min_delta, **watched
            )
        if plateau.patience and not has_rate(model.optimizer):
            raise ConfigError(
                f"reduce_on_plateau.patience={plateau.patience}: {config.optimizer.name} has no "
                "learning rate to lower; leave the key out"
            )
        if plateau.patience:
            self._callbacks["reduce_on_plateau"] = tf.keras.callbacks.ReduceLROnPlateau(
                patience=plateau.patience,
                factor=plateau.factor,
                min_lr=plateau.min_learning_rate,
                **watched,
            )
        model.stop_training = False
        for callback in self._callbacks.values():
            callback.set_model(model)
            callback.on_train_begin()
        if own is None:
            own = OwnCallbacks(config, model)
        else:
            own.set_model(model)
        self.own = own

    def measured(self, epochs: float, row: JsonObject) -> bool:
        """Takes the figures after so many epochs; returns whether to stop.

        Nothing is counted where the metric is not among them, as when nothing was validated or no
        record counts.
        """
        figures = numbers(row)
        if self.metric not in figures:
            return False
        with self._stop_kept():
            for callback in self._callbacks.values():
                callback.on_epoch_end(max(0, epochs - 1), dict(figures))
        stopping = self._callbacks.get(STOPPING)
        if stopping and not stopping.wait:
            stopping.best_epoch = epochs - 1  # below 0 within the first, which Keras does not know
        return bool(self.early_stop())

    def would_stop(self, row: JsonObject) -> bool:
        """Whether measured() would, with the figures known so far; changes nothing."""
        stopping, figures = self._callbacks.get(STOPPING), numbers(row)
        if stopping is None or self.metric not in figures:
            return False
        before = _state_of(stopping)
        with self._stop_kept():
            stopping.on_epoch_end(0, figures)
        would = bool(self.early_stop())
        _set_state(stopping, before)
        return would

    @contextlib.contextmanager
    def _stop_kept(self) -> Iterator[None]:
        """Leaves `stop_training` to the user's callbacks: early_stop() says whether ours stop."""
        before = self._model.stop_training
        yield
        self._model.stop_training = before

    def epoch_ended(self, epoch: int, row: JsonObject) -> bool:
        """Tells the user's callbacks of an epoch, from 0, and its figures; returns whether one of
        this worker stops the run.
        """
        self.own.epoch_ended(epoch, row)
        return bool(self.own.stopped_by)

    def early_stop(self) -> str:
        """How long the metric has not improved, if long enough to stop, or which of the user's
        callbacks stopped the run; else "".
        """
        if self.own.stopped_by:
            return f"{self.own.stopped_by} of callbacks set model.stop_training"
        stopping = self._callbacks.get(STOPPING)
        if stopping is None or stopping.wait < stopping.patience:
            return ""
        return (
            f"{self.metric} has not improved since epoch {stopping.best_epoch + 1:g} "
            f"(early_stopping.patience={stopping.patience})"
        )

    def way_on(self) -> str:
        """How to continue a run that stopped early."""
        if self.own.stopped_by:
            return "to continue, run the same command without it in --config.callbacks"
        return (
            "to continue, run the same command with a higher --config.early_stopping.patience "
            "(0 = off)"
        )

    def resumed(self, stopped: str) -> tuple[str, str]:
        """Why a run that had stopped early is still over, "" if what is now configured lets it
        continue; and a message.
        """
        if self.early_stop():
            return stopped, f"this run stopped {stopped}: {self.way_on()}"
        line = f"this run had stopped {stopped}; it continues, as patience or callbacks changed"
        return "", line

    def better(self, value: float, best: float | None) -> bool:
        """Whether a value of the watched metric beats the best one so far."""
        return best is None or (value > best if self.greater else value < best)

    def state(self) -> JsonObject:
        """Plain data for set_state()."""
        ours: JsonObject = {name: _state_of(each) for name, each in self._callbacks.items()}
        return {**ours, **({OWN: self.own.state()} if self.own else {})}

    def set_state(self, state: Mapping[str, Mapping[str, object]]) -> list[str]:
        """Restores a saved state; ignores callbacks that are no longer configured.

        Returns:
          What is lost, a line each.
        """
        for name, callback in self._callbacks.items():
            _set_state(callback, state.get(name, {}))
        return self.own.set_state(state.get(OWN, {}))


def _state_of(callback: tf.keras.callbacks.Callback) -> JsonObject:
    return {key: _plain(getattr(callback, key)) for key in _STATE if hasattr(callback, key)}


def _set_state(callback: tf.keras.callbacks.Callback, state: Mapping[str, object]) -> None:
    for key, value in state.items():
        setattr(callback, key, value)


def _plain(value: float | np.generic) -> float:
    return value.item() if isinstance(value, np.generic) else value
