"""Gradients of several steps, summed up for one update of the weights.

k steps of b records are then one step of k * b: for a model without batch statistics the weights
end the same, to rounding, random layers included. A run may be saved after any step, so the sums
are part of its state. They are summed over the replicas in each step: one value, whatever their
number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from preprocess.shell.errors import ConfigError
from trainer.config.learning_sections import OptimizerConfig


class Accumulation(tf.Module):
    """The sums since the last update; create it in the strategy's scope.

    Attributes:
      steps: how many make an update.
      done: steps since the last update.
    """

    def __init__(self, variables: Sequence[tf.Variable], steps: int) -> None:
        super().__init__(name="accumulation")
        self.steps = steps
        self.done = tf.Variable(0, trainable=False, dtype=tf.int32, name="steps")
        # Of the records, each counting as much as in the loss. Of the gradients' type, with which
        # it is summed over the replicas.
        zero = tf.zeros([], variables[0].dtype)
        self.weight = tf.Variable(zero, trainable=False, name="weight")
        self.sums = [
            tf.Variable(tf.zeros(variable.shape, variable.dtype), trainable=False, name="sum")
            for variable in variables
        ]

    def step(self, update: tf.Tensor) -> tf.Tensor:
        """The number of the current step, from that of the update."""
        return update * self.steps + tf.cast(self.done, update.dtype)

    def rows(self, rows: tf.Tensor, batch_size: int) -> tuple[tf.Tensor, int]:
        """Where the rows of a batch are in the batch of the update, and the size of that."""
        return rows + self.done * batch_size, batch_size * self.steps

    def add(self, gradients: Sequence[tf.Tensor | None], weight: tf.Tensor) -> None:
        """Adds a step, on each replica.

        Args:
          gradients: of this replica's sum of weight * loss; None for a variable without one.
          weight: this replica's sum of weights.
        """
        missing = zip(gradients, self.sums, strict=True)
        dense = [tf.zeros_like(s) if g is None else tf.convert_to_tensor(g) for g, s in missing]
        context = tf.distribute.get_replica_context()
        values = [*dense, tf.cast(weight, self.weight.dtype)]
        summed = context.all_reduce(tf.distribute.ReduceOp.SUM, values)
        context.merge_call(self._add_everywhere, args=tuple(summed))

    def _add_everywhere(self, strategy: tf.distribute.Strategy, *values: tf.Tensor) -> None:
        for variable, value in zip([*self.sums, self.weight], values, strict=True):
            strategy.extended.update(
                variable, lambda own, more: own.assign_add(more), args=(value,), group=False
            )
        strategy.extended.update(self.done, lambda own: own.assign_add(1), group=False)

    def means(self) -> list[tf.Tensor]:
        """The gradients of the mean loss over all the records; 0 if these weigh nothing."""
        return [
            tf.math.divide_no_nan(total, tf.cast(self.weight, total.dtype)) for total in self.sums
        ]

    def update_when_full(self, update: Callable[[], None]) -> None:
        """Calls `update` after the last of its steps, and starts again from 0; not on replicas."""

        def full() -> tf.Tensor:
            update()
            for variable in (*self.sums, self.weight, self.done):
                variable.assign(tf.zeros(variable.shape, variable.dtype))
            return tf.constant(True)

        tf.cond(tf.equal(self.done, self.steps), full, lambda: tf.constant(False))


def check_accumulation(optimizer: OptimizerConfig, total_steps: int) -> None:
    """Raises ConfigError if a run ends before its first update."""
    if total_steps < optimizer.accumulate_steps:
        raise ConfigError(
            f"optimizer.accumulate_steps={optimizer.accumulate_steps}: the run has only "
            f"{total_steps} steps, so no weight would move; set a smaller number, or raise epochs"
        )


def accumulation_in_words(optimizer: OptimizerConfig, total_steps: int, batch_size: int) -> str:
    """How many records an update is of, and what is left over; "" without accumulation."""
    steps = optimizer.accumulate_steps
    if steps == 1:
        return ""
    text = (
        f"the weights are updated every {steps} steps, with the gradient of {steps * batch_size} "
        f"records; schedule and warm-up count the {total_steps // steps} updates"
    )
    left = total_steps % steps
    return text + (f"; the run's last {left} steps do not make one" if left else "")
