"""Clipping of gradients: by their norm over all weights, by that of each tensor, by value.

What is clipped is the gradient of the global batch, summed over the replicas, so that their number
makes no difference; and before any optimizer sees it, so that it is the same for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

import tensorflow as tf

from trainer.config.learning_sections import OptimizerConfig

Clip: TypeAlias = "Callable[[list[tf.Tensor]], list[tf.Tensor]]"
Look: TypeAlias = "Callable[[list[tf.Tensor], list[tf.Variable]], None]"


def clip_function(optimizer: OptimizerConfig) -> Clip | None:
    """(gradients) -> clipped gradients, as the keys have it; None if they clip nothing.

    Numbers that are not finite stay so, for divergence and an overflow in float16 to be seen.
    """
    if limit := optimizer.clip_global_norm:
        return lambda gradients: tf.clip_by_global_norm(gradients, limit)[0]
    if limit := optimizer.clip_norm:
        return lambda gradients: [tf.clip_by_norm(each, limit) for each in gradients]
    if limit := optimizer.clip_value:
        return lambda gradients: [_by_value(each, limit) for each in gradients]
    return None


def _by_value(gradient: tf.Tensor, limit: float) -> tf.Tensor:
    clipped = tf.clip_by_value(gradient, -limit, limit)
    return tf.where(tf.math.is_finite(gradient), clipped, gradient)


def apply_clipped(
    optimizer: tf.keras.optimizers.Optimizer,
    gradients: Iterable[tf.Tensor | None],
    variables: Iterable[tf.Variable],
    clip: Clip | None,
    look: Look | None = None,
) -> None:
    """One step of an optimizer, on each replica, with gradients that are summed, looked at and
    clipped first.

    Args:
      optimizer: of any kind.
      gradients: of this replica's part of the mean loss; None for a variable without one.
      variables: in the same order.
      clip: see above; None = as they are.
      look: called with the sums and their variables.
    """
    pairs = [(g, v) for g, v in zip(gradients, variables, strict=True) if g is not None]
    # Dense: a row that a sparse gradient names twice has the norm of the sum.
    dense = [tf.convert_to_tensor(gradient) for gradient, _ in pairs]
    context = tf.distribute.get_replica_context()
    summed = context.all_reduce(tf.distribute.ReduceOp.SUM, dense)
    reached = [variable for _, variable in pairs]
    if look:
        look(summed, reached)
    apply_summed(optimizer, clip(summed) if clip else summed, reached)


def apply_summed(
    optimizer: tf.keras.optimizers.Optimizer,
    gradients: Iterable[tf.Tensor],
    variables: Iterable[tf.Variable],
) -> None:
    """One step of an optimizer with gradients that are summed over the replicas by now."""
    pairs = zip(gradients, variables, strict=True)
    # The name that optimizers of both kinds know, and loss scaling too.
    optimizer.apply_gradients(pairs, experimental_aggregate_gradients=False)
