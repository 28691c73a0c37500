"""What a run learns, in three pure functions: outputs, loss a row, hits a row."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from preprocess.dataset_format import TRIPLET
from trainer.losses import class_loss, triplet_loss
from trainer.metrics import triplet_hits
from trainer.stages import PREPROCESS


@dataclasses.dataclass(frozen=True)
class Task:
    """Triplets or classes. b rows; a row is a triplet or a picture."""

    name: str  # dataset_format.TRIPLET or CLASSIFICATION
    delta: float
    image_size: int

    @property
    def metric(self) -> str:
        """The name of its accuracy."""
        return "triplet_accuracy" if self.name == TRIPLET else "accuracy"

    @property
    def chance(self) -> float | None:
        """Accuracy of guessing, where it is the same for every dataset."""
        return 1 / 3 if self.name == TRIPLET else None

    def outputs(
        self, model: Any, augmentation: Any, images: Any, training: bool, augment: bool
    ) -> Any:
        """Embeddings [b,3,E] or logits [b,classes] of stored pictures uint8[b,(3,)H,W,C].

        Args:
          model: pictures [N,S,S,C] of 0-255 -> outputs.
          augmentation: the on-device layers.
          images: as the reader gives them.
          training: whether dropout and batch statistics are those of training.
          augment: whether the on-device layers draw (training, test-time augmentation).
        """
        if self.name == TRIPLET:
            images = tf.reshape(images, tf.concat([[-1], tf.shape(images)[2:]], 0))
        outputs = model(self.pixels(augmentation, images, augment), training=training)
        if self.name == TRIPLET:
            outputs = tf.reshape(outputs, [-1, 3, outputs.shape[-1]])
        return outputs

    def pixels(self, augmentation: Any, images: Any, augment: bool) -> Any:
        """float32[N,S,S,C] of 0-255 in front of the backbone.

        Where nothing is drawn, the whole picture is seen: the crop belongs to training.
        """
        with tf.name_scope(PREPROCESS):
            pixels = augmentation(images, training=True) if augment else tf.cast(images, tf.float32)
            if pixels.shape[1:3] != (self.image_size, self.image_size):
                pixels = tf.image.resize(pixels, [self.image_size, self.image_size])
            return pixels

    def loss(self, outputs: Any, batch: dict[str, Any]) -> Any:
        """float32[b]."""
        if self.name == TRIPLET:
            return triplet_loss(outputs, batch["votes"], self.delta)
        return class_loss(outputs, batch["label"])

    def hits(self, outputs: Any, batch: dict[str, Any]) -> tuple[Any, Any]:
        """(right, counted), bool[b] each; padding is the caller's to leave out."""
        if self.name == TRIPLET:
            return triplet_hits(batch["votes"], outputs)
        right = tf.equal(tf.argmax(outputs, -1), tf.cast(batch["label"], tf.int64))
        return right, tf.ones_like(right)
