"""The name that our Keras objects are registered under: it is written into saved models."""

from typing import Any, TypeVar

import tensorflow as tf

PACKAGE = "shardline"
Kind = TypeVar("Kind", bound=type)


def registered(kind: Kind) -> Kind:
    """Decorator of a Keras class: a saved model that holds one can be loaded by name."""
    result: Any = tf.keras.saving.register_keras_serializable(package=PACKAGE)(kind)
    return result
