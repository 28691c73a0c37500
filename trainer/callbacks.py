"""Early stopping and the cut of the learning rate: Keras's own, with a state that is saved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

# What they carry from epoch to epoch, by attribute.
_STATE = ("wait", "best", "best_epoch", "stopped_epoch", "cooldown_counter")


class Callbacks:
    """The callbacks that a configuration asks for.

    Attributes:
      metric: what best, stopping and plateau watch.
      greater: whether more of it is better.
    """

    def __init__(self, config: Any, model: Any, accuracy: str) -> None:
        """Takes the run's configuration, a compiled model and the name of the task's accuracy."""
        default = "val_loss" if config.data.validation_splits else "loss"
        self.metric: str = config.checkpoint.best_metric or default
        self.greater = self.metric.endswith(accuracy)
        self._model = model
        self._callbacks: dict[str, Any] = {}
        watched = {"monitor": self.metric, "mode": "max" if self.greater else "min"}
        stopping, plateau = config.early_stopping, config.reduce_on_plateau
        if stopping.patience:
            self._callbacks["early_stopping"] = tf.keras.callbacks.EarlyStopping(
                patience=stopping.patience, min_delta=stopping.min_delta, **watched
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

    def epoch_ended(self, epoch: int, row: Mapping[str, Any]) -> bool:
        """Takes an epoch's number (from 0) and figures; returns whether to stop."""
        figures = {name: value for name, value in row.items() if isinstance(value, (int, float))}
        if self.metric in figures:  # it does not exist where no record counts
            for callback in self._callbacks.values():
                callback.on_epoch_end(epoch, dict(figures))
        return bool(self._model.stop_training)

    def better(self, value: float, best: float | None) -> bool:
        """Whether a value of the watched metric beats the best one so far."""
        return best is None or (value > best if self.greater else value < best)

    def state(self) -> dict[str, dict[str, float]]:
        """What set_state() takes, plain numbers."""
        return {
            name: {key: _plain(getattr(each, key)) for key in _STATE if hasattr(each, key)}
            for name, each in self._callbacks.items()
        }

    def set_state(self, state: Mapping[str, Mapping[str, float]]) -> None:
        """Goes on from a saved state."""
        for name, values in state.items():
            for key, value in values.items():
                setattr(self._callbacks[name], key, value)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
