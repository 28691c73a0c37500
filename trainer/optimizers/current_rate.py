"""The learning rate that an optimizer uses now, whatever its kind."""

from __future__ import annotations

import tensorflow as tf


def innermost(optimizer: tf.keras.optimizers.Optimizer) -> tf.keras.optimizers.Optimizer:
    """The optimizer inside wrappers: loss scaling, averages."""
    inner = getattr(optimizer, "inner_optimizer", None) or getattr(optimizer, "_optimizer", None)
    return optimizer if inner is None else innermost(inner)


def has_rate(optimizer: tf.keras.optimizers.Optimizer) -> bool:
    """Whether the optimizer has a learning rate: COCOB computes its own."""
    return getattr(innermost(optimizer), "learning_rate", None) is not None


def current_rate(optimizer: tf.keras.optimizers.Optimizer) -> float | None:
    """The rate of the last step; None without one.

    Keras's optimizers give the value of their schedule; legacy optimizers (all of
    tensorflow-addons') give the schedule itself, and have a separate decay.
    """
    if not has_rate(optimizer):
        return None
    inner, steps = innermost(optimizer), max(0, steps_of(optimizer) - 1)
    rate = getattr(inner, "_learning_rate", inner.learning_rate)
    decay = getattr(inner, "_initial_decay", 0.0)
    rate = rate(steps) if callable(rate) else tf.keras.backend.get_value(rate)
    return float(rate) / (1.0 + decay * steps)


def steps_of(optimizer: tf.keras.optimizers.Optimizer) -> int:
    """How many steps it has made."""
    return int(optimizer.iterations.numpy())
