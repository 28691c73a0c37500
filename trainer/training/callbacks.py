"""Early stopping and lowering the learning rate: Keras's callbacks, with a saved state."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from preprocess.shell.errors import ConfigError
from preprocess.shell.json_text import JsonObject
from trainer.config.keys import Config
from trainer.config.measure_table import greater_is_better
from trainer.optimizers.current_rate import has_rate

STOPPING = "early_stopping"
# The attributes that they carry from epoch to epoch.
_STATE = ("wait", "best", "best_epoch", "stopped_epoch", "cooldown_counter")


class Callbacks:
    """The callbacks that a configuration selects.

    Attributes:
      metric: what best, early stopping and plateau watch.
      greater: whether higher is better.
    """

    def __init__(self, config: Config, model: tf.keras.Model) -> None:
        """Takes the run's configuration and a compiled model."""
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

    def measured(self, epochs: float, row: JsonObject) -> bool:
        """Takes the figures after so many epochs; returns whether to stop.

        Nothing is counted where the metric is not among them, as when nothing was validated or no
        record counts.
        """
        figures = _numbers(row)
        if self.metric not in figures:
            return False
        for callback in self._callbacks.values():
            callback.on_epoch_end(max(0, epochs - 1), dict(figures))
        stopping = self._callbacks.get(STOPPING)
        if stopping and not stopping.wait:
            stopping.best_epoch = epochs - 1  # below 0 within the first, which Keras does not know
        return bool(self.early_stop())

    def would_stop(self, row: JsonObject) -> bool:
        """Whether measured() would, with the figures known so far; changes nothing."""
        stopping, figures = self._callbacks.get(STOPPING), _numbers(row)
        if stopping is None or self.metric not in figures:
            return False
        before = self.state()
        stopping.on_epoch_end(0, figures)
        would = bool(self.early_stop())
        self.set_state({STOPPING: before[STOPPING]})
        return would

    def early_stop(self) -> str:
        """How long the metric has not improved, if long enough to stop; else ""."""
        stopping = self._callbacks.get(STOPPING)
        if stopping is None or stopping.wait < stopping.patience:
            return ""
        return (
            f"{self.metric} has not improved since epoch {stopping.best_epoch + 1:g} "
            f"(early_stopping.patience={stopping.patience})"
        )

    def better(self, value: float, best: float | None) -> bool:
        """Whether a value of the watched metric beats the best one so far."""
        return best is None or (value > best if self.greater else value < best)

    def state(self) -> dict[str, dict[str, float]]:
        """Plain numbers for set_state()."""
        return {
            name: {key: _plain(getattr(each, key)) for key in _STATE if hasattr(each, key)}
            for name, each in self._callbacks.items()
        }

    def set_state(self, state: Mapping[str, Mapping[str, float]]) -> None:
        """Restores a saved state; ignores callbacks that are no longer configured."""
        for name, values in state.items():
            for key, value in values.items() if name in self._callbacks else ():
                setattr(self._callbacks[name], key, value)


def _numbers(row: JsonObject) -> dict[str, float]:
    return {name: value for name, value in row.items() if isinstance(value, (int, float))}


def _plain(value: float | np.generic) -> float:
    return value.item() if isinstance(value, np.generic) else value
