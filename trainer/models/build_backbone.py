"""Backbones: from pixels 0 to 255 to a vector of features."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import tensorflow as tf

from preprocess.shell.errors import ConfigError
from trainer.config.entries import BACKBONES, OWN_BACKBONE, backbone_parts, check_pretrained
from trainer.models import own_parts
from trainer.models.wanted import Wanted

POOLINGS = ("avg", "max")
BACKBONE = "backbone"  # the name of the part of a model that `backbone` builds


def backbone(
    name: str,
    image_size: int,
    channels: int = 3,
    weights: str = "",
    pooling: str = "avg",
    pixel_range: str = "",
    own_settings: Mapping[str, object] | None = None,
) -> tf.keras.Model:
    """The network in front of the head, with the range of pixels it wants inside.

    Random weights are a function of `tf.keras.utils.set_random_seed`. channels_last, whatever
    the user's keras.json says.

    Args:
      name: one of trainer/models/backbones, such as `cnn` or `keras:NAME`.
      image_size: side S of the pictures, pixels.
      channels: 1 or 3; grey is repeated to 3 for keras: and hub:.
      weights: 'imagenet' (keras: only), or anything else for random ones; a hub module brings
        its own.
      pooling: 'avg' or 'max' over places; hub modules and `mlp` have their own.
      pixel_range: a key of `pixels.RANGES`; '' = what the table says.
      own_settings: further arguments of a user's own.

    Returns:
      A model from float32 [N, S, S, C], 0 to 255, to float [N, F] in the compute type of the
      precision policy.

    Raises:
      ConfigError: an unknown name, a size the network does not take, unavailable weights.
    """
    if pooling not in POOLINGS:
        raise ConfigError(f"model.pooling={pooling!r} is none of {', '.join(POOLINGS)}")
    kind, which = backbone_parts(name)
    check_pretrained(kind, weights)
    # Dropout inside a backbone then owns a generator, whose state a checkpoint can hold; without
    # this it draws from an op whose counter nobody can save.
    tf.keras.backend.experimental.enable_tf_random_generator()
    inputs = tf.keras.Input((image_size, image_size, channels), name="pixels")

    with _channels_last():
        wanted = Wanted(which, inputs, weights, pooling, pixel_range)
        if kind == OWN_BACKBONE:
            features = own_parts.build_backbone(wanted, own_settings or {})
        else:
            features = BACKBONES.module(kind).build(wanted)
    return tf.keras.Model(inputs, features, name=BACKBONE)


@contextlib.contextmanager
def _channels_last() -> Iterator[None]:
    """Layers built inside are channels_last, which Keras stores in each of them."""
    usual = tf.keras.backend.image_data_format()
    tf.keras.backend.set_image_data_format("channels_last")
    try:
        yield
    finally:
        tf.keras.backend.set_image_data_format(usual)


def network_of(body: tf.keras.Model) -> tf.keras.Model:
    """The network inside a backbone, without the range of pixels: itself where it is ours."""
    inside = [layer for layer in body.layers if isinstance(layer, tf.keras.Model)]
    return inside[0] if inside else body
