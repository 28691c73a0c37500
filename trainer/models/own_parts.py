"""A user's own backbone, head and on-device layers: calls them and checks what they return."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping

import tensorflow as tf

from preprocess.shell.errors import ConfigError
from preprocess.shell.references import load_class, load_function
from trainer.config.own_code import blamed, own_name
from trainer.models.backbones.cnn import pool
from trainer.models.wanted import Wanted

FEATURES = "features"  # the name of the layer in front of a user's head


def build_backbone(wanted: Wanted, settings: Mapping[str, object]) -> tf.Tensor:
    """Features float [N, F] of a user's function (images, **settings).

    Images are a Keras tensor [N, S, S, C] of 0 to 255 or `model.pixel_range`; feature maps
    [N, H, W, F] are pooled.

    Raises:
      ConfigError: it fails, or returns something else.
    """
    key, reference = "model.backbone", wanted.which
    function = load_function(reference, key, ("images",), settings, "model.backbone_args")
    images = wanted.pixels("0..255")
    with blamed(key, reference, "(images)"):
        features = function(images, **settings)
    _check_connected(features, images, key, reference, "features, such as model(images)")
    if features.shape.rank == 4:
        features = pool(features, wanted.pooling)
    if features.shape.rank != 2 or features.shape[-1] is None or not features.dtype.is_floating:
        given = f"{features.dtype.name}{list(features.shape)}"
        raise ConfigError(
            f"{key}={reference} returns {given}; it must return features [N,F] of a known F, or "
            "maps [N,H,W,F]"
        )
    return features


def own_head(
    reference: str, outputs: int, settings: Mapping[str, object]
) -> Callable[[tf.Tensor], tf.Tensor]:
    """A head from a user's function (features, outputs, **settings) -> [N, outputs].

    Args:
      reference: of the function.
      outputs: how many the task wants.
      settings: further arguments.

    Returns:
      A function of features float [N, F] that gives float32 [N, outputs].
    """
    key = "model.head"
    function = load_function(reference, key, ("features", "outputs"), settings, "model.head_args")

    def head(features: tf.Tensor) -> tf.Tensor:
        features = tf.keras.layers.Activation("linear", name=FEATURES)(features)
        with blamed(key, reference, "(features, outputs)"):
            found = function(features, outputs, **settings)
        _check_connected(found, features, key, reference, f"[N,{outputs}] of its features")
        if found.shape.rank != 2 or found.shape[-1] != outputs:
            raise ConfigError(
                f"{key}={reference} returns {list(found.shape)}; it must return [N,{outputs}], "
                f"as outputs={outputs}"
            )
        if found.dtype != tf.float32:
            found = tf.keras.layers.Activation("linear", dtype="float32", name="as_float32")(found)
        return found

    return head


def _check_connected(
    found: tf.Tensor, given: tf.Tensor, key: str, reference: str, wanted: str
) -> None:
    """Raises ConfigError unless it is a Keras tensor that layers made of the given one."""
    if getattr(found, "_keras_history", None) is None:
        raise ConfigError(
            f"{key}={reference} returns a {type(found).__name__}; it must return {wanted}"
        )
    waiting, seen = [found], set()
    while waiting:
        tensor = waiting.pop()
        if tensor._keras_history == given._keras_history:
            return
        if tensor._keras_history not in seen:
            seen.add(tensor._keras_history)
            waiting += tensor.node.keras_inputs
    raise ConfigError(f"{key}={reference}: its result is not computed from its input")


class OwnLayer:
    """A user's layer on pictures, which acts in training only.

    Attributes:
      reference: of its class.
      layer: it.
    """

    def __init__(self, reference: str) -> None:
        key = "augment.layers"
        cls = load_class(reference, key, tf.keras.layers.Layer)
        name = own_name(key, reference)
        with blamed(key, reference, f"{name}(name='{name}')"):
            self.layer = cls(name=name)
        self.reference = reference
        self._training = "training" in inspect.signature(self.layer.call).parameters

    def __call__(self, images: tf.Tensor, training: bool | None) -> tf.Tensor:
        """float32 [N, H', W', C] of float32 [N, H, W, C]."""
        if not training:
            return images
        return self.layer(images, training=True) if self._training else self.layer(images)
