"""What the layers of this package have in common."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from trainer import randomness

# The name that our Keras objects are registered under: it is written into saved models.
PACKAGE = "shardline"


class KeyedLayer(tf.keras.layers.Layer):
    """A layer on a batch that draws its random numbers from `trainer.randomness`.

    It works in float32 whatever the precision policy: rotation refuses bfloat16, and pixels in
    bfloat16 would lose all but eight bits. A subclass writes `transform`, what happens in
    training, and where inference is not the identity, `at_inference`.

    Attributes:
      label: whose numbers these are; the layer's name unless given. Give either explicitly: the
        names Keras makes up count the layers built before, so a restart could draw other numbers.
    """

    def __init__(self, label: str = "", **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.label = label or self.name

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Returns float32 of the batch, transformed in training.

        Raises:
          randomness.NotKeyedError: in training outside `randomness.keyed`.
        """
        inputs = tf.cast(inputs, tf.float32)
        return self.transform(inputs) if training else self.at_inference(inputs)

    def transform(self, inputs: Any) -> Any:
        """What the layer does in training, float32 to float32."""
        raise NotImplementedError  # abstract

    def at_inference(self, inputs: Any) -> Any:
        """What the layer does otherwise: nothing."""
        return inputs

    def draw(
        self, inputs: Any, shape: Sequence[int] = (), low: float = 0.0, high: float = 1.0
    ) -> Any:
        """Uniform numbers in [low, high), float32 [N, *shape], for the N entries of `inputs`.

        A layer draws once: a second draw would give the same numbers.
        """
        per_row = randomness.entries_per_row(inputs)
        return randomness.uniform(self.label, shape, per_row, low, high)

    def get_config(self) -> dict[str, Any]:
        """Arguments to build this layer again."""
        return {**super().get_config(), "label": self.label}
