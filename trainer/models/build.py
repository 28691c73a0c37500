"""A whole model from the configuration: pixels, backbone, head."""

from typing import Any

import tensorflow as tf

from trainer.errors import ConfigError
from trainer.models.backbones import backbone
from trainer.models.heads import class_head, embedding_head

TRAINABLE = ("all", "head")


def build_model(config: Any, classes: int | None) -> Any:
    """The model of a run.

    For triplets, flatten [T, 3, S, S, C] to [T*3, S, S, C] before it and reshape the embeddings
    back: one element of a batch stays one triplet.

    With `model.trainable` = "head" the backbone is frozen, BatchNorm statistics included. The
    backbone follows the precision policy; head, normalisation and output are float32.

    Args:
      config: the run's configuration; read are `task`, `image_size`, and of `model`: `backbone`,
        `weights`, `pooling`, `pixel_range`, `channels`, `dropout`, `embedding_size`, `scale`,
        `trainable`.
      classes: number of classes; None for triplets.

    Returns:
      A model from pixels [N, S, S, C], uint8 or float32, 0 to 255, to float32 [N, classes] logits
      or [N, embedding_size] embeddings of length `model.scale`.

    Raises:
      ConfigError: a value that cannot be, or weights that cannot be had.
    """
    settings = config.model
    if settings.trainable not in TRAINABLE:
        raise ConfigError(
            f"model.trainable={settings.trainable!r} is none of {', '.join(TRAINABLE)}"
        )
    if (config.task == "triplet") != (classes is None):
        raise ConfigError(f"task={config.task} on a dataset with {classes or 'no'} classes")
    body = backbone(
        settings.backbone,
        config.image_size,
        settings.channels,
        settings.weights,
        settings.pooling,
        settings.pixel_range,
    )
    body.trainable = settings.trainable == "all"

    images = tf.keras.Input(body.input_shape[1:], name="images")
    features = body(images)
    if classes is None:
        outputs = embedding_head(
            features, settings.dropout, settings.embedding_size, settings.scale
        )
    else:
        outputs = class_head(features, settings.dropout, classes)
    return tf.keras.Model(images, outputs, name="model")
