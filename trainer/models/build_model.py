"""A whole model from the configuration: pixels, backbone, head."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from trainer.config.keys import Config
from trainer.config.training_stages import stages_of
from trainer.models.build_backbone import backbone
from trainer.models.freezing import HEAD, check_trainable, freeze
from trainer.models.weights import load_weights


def build_model(
    config: Config,
    head: Callable[[tf.Tensor], tf.Tensor],
    say: Callable[[str], None] = lambda _: None,
    *,
    weights: bool = True,
) -> tf.keras.Model:
    """The model of a run.

    For triplets, flatten [T, 3, S, S, C] to [T*3, S, S, C] before it and reshape the embeddings
    back: one element of a batch stays one triplet.

    `model.trainable` says what trains: see `freezing`. With "head" the backbone is in inference
    mode altogether. The backbone follows the precision policy; head, normalisation and output
    are float32.

    Args:
      config: the run's configuration; read are `image_size`, and of `model`: `backbone`,
        `backbone_args`, `weights`, `pooling`, `pixel_range`, `channels`, `trainable`. The layers
        that `stages` name must be there.
      head: features float [N, F] -> outputs float32 [N, ...], of the task.
      say: is told which weights were taken from elsewhere.
      weights: whether to take any; not where a checkpoint follows.

    Returns:
      A model from pixels [N, S, S, C], uint8 or float32, 0 to 255, to the outputs of the head.

    Raises:
      ConfigError: an invalid value, or weights that are not available.
    """
    settings = config.model
    body = backbone(
        settings.backbone,
        config.image_size,
        settings.channels,
        settings.weights if weights else "",
        settings.pooling,
        settings.pixel_range,
        settings.backbone_args,
    )
    for stage in stages_of(config) if config.stages else ():  # before the first one is trained
        check_trainable(body, stage.trainable, f"stages[{stage.number}].trainable")
    freeze(body, settings.trainable)

    images = tf.keras.Input(body.input_shape[1:], name="images")
    features = body(images, training=False) if settings.trainable == HEAD else body(images)
    model = tf.keras.Model(images, head(features), name="model")
    if weights and settings.weights not in ("", "imagenet"):
        load_weights(model, settings.weights, say)
    return model
