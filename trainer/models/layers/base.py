"""What the layers of this package have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict, Unpack

import tensorflow as tf

from trainer.compat.autograph import converted
from trainer.models import randomness


class LayerArguments(TypedDict, total=False):
    """What the constructor of each layer takes besides its own settings."""

    name: str
    label: str
    dtype: str
    trainable: bool


class KeyedLayer(tf.keras.layers.Layer):
    """A layer on a batch that draws its random numbers from `trainer.models.randomness`.

    It works in float32 whatever the precision policy: rotation refuses bfloat16, and pixels in
    bfloat16 would lose all but eight bits. A subclass writes `transform`, what happens in
    training, and where inference is not the identity, `at_inference`.

    Attributes:
      label: whose numbers these are; the layer's name unless given. Give either explicitly: the
        names Keras makes up count the layers built before, so a restart could draw other numbers.
    """

    def __init__(self, label: str = "", **kwargs: object) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.label = label or self.name

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns float32 of the batch, transformed in training.

        Raises:
          randomness.NotKeyedError: in training outside `randomness.keyed`.
        """
        inputs = tf.cast(inputs, tf.float32)
        act = self.transform if training else self.at_inference
        return converted(act)(inputs)  # a subclass may be a user's

    def transform(self, inputs: tf.Tensor) -> tf.Tensor:
        """What the layer does in training, float32 to float32."""
        raise NotImplementedError  # abstract

    def at_inference(self, inputs: tf.Tensor) -> tf.Tensor:
        """What the layer does otherwise: nothing."""
        return inputs

    def draw(
        self, inputs: tf.Tensor, shape: Sequence[int] = (), low: float = 0.0, high: float = 1.0
    ) -> tf.Tensor:
        """Uniform numbers in [low, high), float32 [N, *shape], for the N entries of `inputs`.

        A layer draws once: a second draw would give the same numbers.
        """
        per_row = randomness.entries_per_row(inputs)
        return randomness.uniform(self.label, shape, per_row, low, high)

    def get_config(self) -> dict[str, object]:
        """Arguments to build this layer again."""
        return {**super().get_config(), "label": self.label}


class Jitter(KeyedLayer):
    """Scales something by a number in [1 - factor, 1 + factor), one a picture.

    Attributes:
      factor: largest relative change, in [0, 1].
    """

    def __init__(self, factor: float, **kwargs: Unpack[LayerArguments]) -> None:
        super().__init__(**kwargs)
        self.factor = factor

    def scales(self, images: tf.Tensor) -> tf.Tensor:
        """Returns float32 [N, 1, 1, 1]."""
        return self.draw(images, (1, 1, 1), 1 - self.factor, 1 + self.factor)

    def get_config(self) -> dict[str, object]:
        """Arguments to build this layer again."""
        return {**super().get_config(), "factor": self.factor}
