"""What a backbone is asked for."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from trainer.models.pixels import Pixels

if TYPE_CHECKING:
    import tensorflow as tf

WEIGHTS_WAYS_OUT = "take model.weights='' (random) or the path of a weights file"


@dataclasses.dataclass(frozen=True)
class Wanted:
    """A backbone's name and pictures.

    Attributes:
      which: what follows the colon in `model.backbone`, or ''.
      inputs: the pictures, a Keras tensor [N, S, S, C] of 0 to 255.
      weights: `model.weights`.
      pooling: "avg" or "max".
      pixel_range: a key of `pixels.RANGES` that takes the place of what the backbone wants; ''.
    """

    which: str
    inputs: tf.Tensor
    weights: str
    pooling: str
    pixel_range: str

    @property
    def image_size(self) -> int:
        """S, pixels."""
        return int(self.inputs.shape[1])

    def pixels(self, usual: str, channels: int = 0) -> tf.Tensor:
        """The pictures in the range that a backbone wants.

        Args:
          usual: a key of `pixels.RANGES`.
          channels: 3 = grey is repeated to that; 0 = as they are.
        """
        layer = Pixels(
            self.pixel_range or usual, channels or int(self.inputs.shape[-1]), name="range"
        )
        return layer(self.inputs)
