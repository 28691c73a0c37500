"""Heads: from features to embeddings or logits, in float32 under every precision policy."""

from __future__ import annotations

import tensorflow as tf

from preprocess.shell.errors import ConfigError
from preprocess.shell.tensorflow_text import error_reason
from trainer.config.learning_sections import ModelConfig
from trainer.models.layers import KeyedDropout, L2Normalize, Scale
from trainer.models.own_parts import FEATURES
from trainer.optimizers.by_name import as_list, construct, near_names, pick, subclasses

LOGITS = "logits"  # the name of a classifier's last layer
NUMBERS = "numbers"  # of one that learns numbers


def features_of(model: tf.keras.Model, last: str) -> tf.Tensor:
    """What goes into the last layer of a model, or into the user's own head."""
    if FEATURES in {layer.name for layer in model.layers}:
        return model.get_layer(FEATURES).output
    return model.get_layer(last).input


def dropped(features: tf.Tensor, model: ModelConfig) -> tf.Tensor:
    """Features [N, F], of which a share `model.dropout` is dropped in training."""
    return KeyedDropout(model.dropout, name="head_dropout")(features)


def embedding_head(features: tf.Tensor, model: ModelConfig) -> tf.Tensor:
    """Dropout, a dense layer, and onto the sphere of radius `model.scale`.

    Args:
      features: float [N, F].
      model: the section of the configuration; its `embedding_size` is E.

    Returns:
      float32 [N, E].
    """
    embeddings = dense(dropped(features, model), model, model.embedding_size, "embedding")
    return Scale(model.scale, name="scale")(L2Normalize(name="normalize")(embeddings))


def dense(features: tf.Tensor, model: ModelConfig, units: int, name: str) -> tf.Tensor:
    """A dense layer with the initializer and the regularizer of the configuration.

    Args:
      features: float [N, F].
      model: the section of the configuration.
      units: how many outputs a picture has.
      name: of the layer.

    Returns:
      float32 [N, units].
    """
    settings = {}
    if model.head_initializer:
        settings["kernel_initializer"] = _initializer(model)
    if model.head_l1 or model.head_l2:
        settings["kernel_regularizer"] = tf.keras.regularizers.L1L2(model.head_l1, model.head_l2)
    layer = tf.keras.layers.Dense(units, dtype="float32", name=name, **settings)
    if not model.head_initializer:
        return layer(features)
    try:
        return layer(features)
    except (TypeError, ValueError, tf.errors.OpError) as error:
        raise ConfigError(
            f"model.head_initializer={model.head_initializer}: no kernel of "
            f"{features.shape[-1]} times {units} numbers ({error_reason(error)})"
        ) from error


def _initializer(model: ModelConfig) -> tf.keras.initializers.Initializer:
    """Keras's initializer of a name, in any case and with or without underscores."""
    known = subclasses(tf.keras.initializers, tf.keras.initializers.Initializer)
    name = model.head_initializer
    cls = pick(name.replace("_", ""), known)
    if cls is None:
        near = near_names(name.replace("_", ""), list(known))
        raise ConfigError(f"model.head_initializer={name!r} is unknown; similar names: {near}")
    arguments = {n: as_list(v) for n, v in model.head_initializer_args.items()}
    return construct(cls, arguments, "model.head_initializer_args")
