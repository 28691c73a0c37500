"""A whole model from the configuration: pixels, backbone, head."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from trainer.errors import ConfigError
from trainer.models.backbones import backbone
from trainer.models.freezing import HEAD, freeze
from trainer.models.heads import class_head, embedding_head
from trainer.models.weights import load_weights


def build_model(
    config: Any,
    classes: int | None,
    say: Callable[[str], None] = lambda _: None,
    *,
    weights: bool = True,
) -> Any:
    """The model of a run.

    For triplets, flatten [T, 3, S, S, C] to [T*3, S, S, C] before it and reshape the embeddings
    back: one element of a batch stays one triplet.

    `model.trainable` says what trains: see `freezing`. With "head" the backbone is in inference
    mode altogether. The backbone follows the precision policy; head, normalisation and output
    are float32.

    Args:
      config: the run's configuration; read are `task`, `image_size`, and of `model`: `backbone`,
        `weights`, `pooling`, `pixel_range`, `channels`, `dropout`, `embedding_size`, `scale`,
        `trainable`.
      classes: number of classes; None for triplets.
      say: is told which weights were taken from elsewhere.
      weights: whether to take any; not where a checkpoint follows.

    Returns:
      A model from pixels [N, S, S, C], uint8 or float32, 0 to 255, to float32 [N, classes] logits
      or [N, embedding_size] embeddings of length `model.scale`.

    Raises:
      ConfigError: a value that cannot be, or weights that cannot be had.
    """
    settings = config.model
    if (config.task == "triplet") != (classes is None):
        raise ConfigError(f"task={config.task} on a dataset with {classes or 'no'} classes")
    body = backbone(
        settings.backbone,
        config.image_size,
        settings.channels,
        settings.weights if weights else "",
        settings.pooling,
        settings.pixel_range,
    )
    freeze(body, settings.trainable)

    images = tf.keras.Input(body.input_shape[1:], name="images")
    features = body(images, training=False) if settings.trainable == HEAD else body(images)
    if classes is None:
        outputs = embedding_head(
            features, settings.dropout, settings.embedding_size, settings.scale
        )
    else:
        outputs = class_head(features, settings.dropout, classes)
    model = tf.keras.Model(images, outputs, name="model")
    if weights and settings.weights not in ("", "imagenet"):
        load_weights(model, settings.weights, say)
    return model
