"""Tries a user's own optimizer or schedule on two small weights, with a restart."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from preprocess.shell.errors import ConfigError
from trainer.config.own_code import blamed
from trainer.optimizers import build_optimizer
from trainer.optimizers.accumulation import Accumulation
from trainer.optimizers.averages import averages_of
from trainer.optimizers.clipping import apply_clipped, apply_summed, clip_function
from trainer.optimizers.schedules import build_schedule
from trainer.optimizers.weight_decay import leave_out
from trainer.training.session import Session, optimizer_variables

SAMPLES = 20  # steps at which a schedule is asked
SHAPES = ((4, 3), (3,))


def try_optimizer(session: Session, total_steps: int, keys: Mapping[str, str]) -> None:
    """Two steps, a saved state, and a third step from it and without it.

    Args:
      session: for its strategy and configuration.
      total_steps: of the run.
      keys: those that are the user's own, with their references.

    Raises:
      ConfigError: a rate or a weight is not finite, nothing moves, or a restored state continues
        otherwise.
    """
    key, value = " and ".join(keys), ", ".join(keys.values())
    with blamed(key, value):
        if "optimizer.schedule" in keys:
            _try_schedule(session, total_steps, keys["optimizer.schedule"])
        first = _Small(session, total_steps)
        begin = first.values()
        first.step()
        first.step()
        with tempfile.TemporaryDirectory(prefix="trial-") as folder:
            prefix = os.path.join(folder, "state")
            tf.train.Checkpoint(weights=first.weights, optimizer=first.optimizer).write(prefix)
            again = _Small(session, total_steps)
            state = tf.train.Checkpoint(weights=again.weights, optimizer=again.optimizer)
            state.read(prefix).assert_existing_objects_matched()
        first.step()
        again.step()
        slots = optimizer_variables(first.optimizer)
        numbers = [*first.values(), *(each.numpy() for each in slots)]
        if session.optimizer_config.ema_momentum:
            numbers += [each.numpy() for each in averages_of(first.optimizer, first.weights)]
    floats = [each for each in numbers if np.issubdtype(each.dtype, np.floating)]
    if not all(np.isfinite(each).all() for each in floats):
        raise ConfigError(f"{key}={value}: weights or slots are NaN or infinite after three steps")
    if all(np.array_equal(*pair) for pair in zip(begin, first.values(), strict=True)):
        raise ConfigError(
            f"{key}={value}: three steps moved nothing; update_step(gradient, variable) has to "
            "assign to the variable"
        )
    if not all(np.array_equal(*pair) for pair in zip(first.values(), again.values(), strict=True)):
        raise ConfigError(
            f"{key}={value}: continues differently from a saved state: keep what it remembers "
            "in variables made in build(), by add_variable_from_reference()"
        )


class _Small:
    """Two weights and an optimizer of theirs."""

    def __init__(self, session: Session, total_steps: int) -> None:
        rng, settings = np.random.default_rng(0), session.optimizer_config
        with session.strategy.scope():
            self.weights = [tf.Variable(rng.normal(size=s), dtype=tf.float32) for s in SHAPES]
            self.optimizer = build_optimizer(settings, total_steps)
            leave_out(self.optimizer, settings, self.weights)
            if hasattr(self.optimizer, "build"):
                self.optimizer.build(self.weights)
            else:  # tensorflow-addons' are of Keras's older kind
                self.optimizer._create_all_weights(self.weights)
            # Updates are made in a tf.cond then, whatever their number of steps.
            accumulation = Accumulation(self.weights, 1) if settings.accumulate_steps > 1 else None
        clip = clip_function(settings)

        def replica_step() -> None:
            gradients = [0.1 * tf.convert_to_tensor(weight) + 0.01 for weight in self.weights]
            if accumulation:
                accumulation.add(gradients, tf.constant(1.0))
            elif clip:
                apply_clipped(self.optimizer, gradients, self.weights, clip)
            else:
                self.optimizer.apply_gradients(zip(gradients, self.weights, strict=True))

        def replica_update() -> None:
            assert accumulation
            gradients = accumulation.means()
            apply_summed(self.optimizer, clip(gradients) if clip else gradients, self.weights)

        def step() -> None:
            session.strategy.run(replica_step)
            if accumulation:
                accumulation.update_when_full(lambda: session.strategy.run(replica_update))

        self.step = tf.function(step)

    def values(self) -> list[np.ndarray]:
        """Of the weights."""
        return [weight.numpy() for weight in self.weights]


def _try_schedule(session: Session, total_steps: int, reference: str) -> None:
    optimizer = session.optimizer_config
    rate = build_schedule(optimizer, total_steps)
    assert callable(rate)
    schedule = tf.function(lambda step: tf.convert_to_tensor(rate(step)))
    total = max(1, total_steps // optimizer.accumulate_steps)  # updates
    last = total - 1
    for sample in range(SAMPLES + 1):
        step = round(last * sample / SAMPLES)
        found = schedule(tf.constant(step, tf.int64))
        if not 0 <= float(found) < float("inf"):
            raise ConfigError(
                f"optimizer.schedule={reference} returns {float(found)} at step {step} of "
                f"{total}; a learning rate is at least 0 and finite"
            )
        if float(found) != float(schedule(tf.constant(step, tf.int64))):
            raise ConfigError(
                f"optimizer.schedule={reference} returns another rate at step {step} when "
                "called again; it may depend on the step alone"
            )
