"""AdaBound (Luo, Xiong, Liu and Sun, ICLR 2019, arXiv 1902.09843).

Adam with its step size clipped between two bounds that both approach `final_learning_rate`, so that
it starts as Adam and ends as SGD. The update is that of the authors' published code, which differs
from the paper's algorithm: bias correction as in Adam, no 1/sqrt(t).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from trainer.compat.saving import registered


@registered
class AdaBound(tf.keras.optimizers.Optimizer):
    """AdaBound on the Keras 2.15 optimizer interface.

    For step t = 1, 2, ... with gradient g of weight w:

        g += weight_decay * w
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g^2             (amsbound: the largest v so far)
        step = lr * sqrt(1 - beta_2^t) / (1 - beta_1^t)
        final = final_learning_rate * lr / base_lr      (base_lr: the first lr)
        low = final * (1 - 1 / (gamma * t + 1));  high = final * (1 + 1 / (gamma * t))
        w -= clip(step / (sqrt(v) + epsilon), low, high) * m

    A schedule, or an assignment to `learning_rate`, scales the bounds with the step. A sparse
    gradient is treated as the dense one that it represents: m of an untouched row still decays, and
    the bounds move its weights, so no row can be skipped.

    Attributes:
      weight_decay: L2 term in the gradient, as in the reference; *not* Keras's decoupled decay.
      base_learning_rate: the first learning rate; taken from `learning_rate` unless given.

    Raises:
      ValueError: the first learning rate is 0, as in a warm-up from zero, and no
        `base_learning_rate` is given.
    """

    def __init__(
        self,
        learning_rate: float | tf.keras.optimizers.schedules.LearningRateSchedule = 1e-3,
        final_learning_rate: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        gamma: float = 1e-3,
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
        amsbound: bool = False,
        base_learning_rate: float | None = None,
        name: str = "AdaBound",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)  # without weight_decay: see `l2`
        self._learning_rate = self._build_learning_rate(learning_rate)
        self.final_learning_rate = final_learning_rate
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.gamma = gamma
        self.epsilon = epsilon
        self.l2 = weight_decay or 0.0
        self.amsbound = amsbound
        if base_learning_rate is None:
            with tf.init_scope():
                first = learning_rate(0) if callable(learning_rate) else learning_rate
                # Rounded as the learning rate itself is, so that lr / base_lr begins at 1.
                base_learning_rate = float(np.float32(first))
        if not base_learning_rate:
            raise ValueError(
                "the first learning rate is 0, and AdaBound scales its bounds by it: set "
                "base_learning_rate to the rate that the schedule rises to"
            )
        self.base_learning_rate = base_learning_rate

    def build(self, var_list: Sequence[tf.Variable]) -> None:
        """Create m and v, and for amsbound the largest v, of each variable."""
        super().build(var_list)
        if getattr(self, "_built", False):
            return
        self._built = True
        self._m = [self.add_variable_from_reference(w, "m") for w in var_list]
        self._v = [self.add_variable_from_reference(w, "v") for w in var_list]
        self._v_max: list[tf.Variable] = []
        if self.amsbound:
            self._v_max = [self.add_variable_from_reference(w, "v_max") for w in var_list]

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
        """Move one variable by one step.

        Args:
          gradient: tensor or IndexedSlices of the variable's shape.
          variable: the variable.
        """
        dtype = variable.dtype
        index = self._index_dict[self._var_key(variable)]
        m, v = self._m[index], self._v[index]
        t = tf.cast(self.iterations + 1, dtype)
        lr = tf.cast(self.learning_rate, dtype)
        gradient = tf.convert_to_tensor(gradient)
        if self.l2 and self._use_weight_decay(variable):
            gradient += self.l2 * variable

        m.assign(self.beta_1 * m + (1 - self.beta_1) * gradient)
        v.assign(self.beta_2 * v + (1 - self.beta_2) * tf.square(gradient))
        if self.amsbound:
            self._v_max[index].assign(tf.maximum(self._v_max[index], v))
            v = self._v_max[index]

        one = tf.ones([], dtype)
        step = lr * tf.sqrt(1 - tf.pow(self.beta_2 * one, t)) / (1 - tf.pow(self.beta_1 * one, t))
        final = self.final_learning_rate * lr / self.base_learning_rate
        low = final * (1 - 1 / (self.gamma * t + 1))
        high = final * (1 + 1 / (self.gamma * t))
        rate = tf.clip_by_value(step / (tf.sqrt(v) + self.epsilon), low, high)
        variable.assign_sub(rate * m)

    def get_config(self) -> dict[str, object]:
        """Arguments that build this optimizer again, with its current learning rate."""
        return {
            **super().get_config(),
            "learning_rate": self._serialize_hyperparameter(self._learning_rate),
            "final_learning_rate": self.final_learning_rate,
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "gamma": self.gamma,
            "epsilon": self.epsilon,
            "weight_decay": self.l2,
            "amsbound": self.amsbound,
            # A rate lowered on a plateau must not become the base rate of the copy.
            "base_learning_rate": self.base_learning_rate,
        }
