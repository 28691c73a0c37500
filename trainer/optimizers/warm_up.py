"""A warm-up before a constant learning rate or any schedule."""

from __future__ import annotations

import tensorflow as tf

from trainer.compat.saving import registered


@registered
class WarmUp(tf.keras.optimizers.schedules.LearningRateSchedule):
    """Rises in a straight line to the first rate of a schedule, which then starts.

    Step n of the first `steps` (n = 1, 2, ...) is made at n / steps of that rate, so none of them
    is made at 0, where nothing would be learned. Step `steps` + 1 is the schedule's first.
    """

    def __init__(
        self, rate: float | tf.keras.optimizers.schedules.LearningRateSchedule, steps: int
    ) -> None:
        """Takes the rate or the schedule after the warm-up, and the warm-up's length in steps."""
        self.rate = rate
        self.steps = steps

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """The rate of a step, counted from 0."""
        after = tf.maximum(step - self.steps, 0)
        rate = tf.convert_to_tensor(self.rate(after) if callable(self.rate) else float(self.rate))
        return rate * tf.minimum((tf.cast(step, rate.dtype) + 1) / self.steps, 1)

    @property
    def reached(self) -> float:
        """The rate at which the warm-up ends."""
        with tf.init_scope():
            return float(self(self.steps - 1))

    def get_config(self) -> dict[str, object]:
        """Arguments that build this schedule again."""
        rate = self.rate
        if callable(rate):
            rate = tf.keras.optimizers.schedules.serialize(rate)
        return {"rate": rate, "steps": self.steps}

    @classmethod
    def from_config(cls, config: dict[str, object]) -> WarmUp:
        """The schedule of a get_config()."""
        rate, steps = config["rate"], config["steps"]
        if isinstance(rate, dict):
            rate = tf.keras.optimizers.schedules.deserialize(rate)
        assert isinstance(steps, int)
        return cls(rate, steps)
