"""Backbones: from pixels 0 to 255 to a vector of features."""

import contextlib
import difflib
import socket
import sys
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from trainer.errors import ConfigError
from trainer.hub import HubFeatures
from trainer.models import pixels, small

POOLINGS = ("avg", "max")
BACKBONE = "backbone"  # the name of the part of a model that `backbone` builds
# Keras waits for its weights without a limit of its own.
DOWNLOAD_SECONDS = 10.0
WEIGHTS_WAYS_OUT = "take model.weights='' (random) or the path of a weights file"


def backbone(
    name: str,
    image_size: int,
    channels: int = 3,
    weights: str = "",
    pooling: str = "avg",
    pixel_range: str = "",
) -> Any:
    """The network in front of the head, with the range of pixels it wants inside.

    Random weights are a function of `tf.keras.utils.set_random_seed`. channels_last, whatever
    the user's keras.json says.

    Args:
      name: `keras:NAME` of keras.applications, `hub:HANDLE_OR_PATH`, `cnn` or `mlp`.
      image_size: side S of the pictures, pixels.
      channels: 1 or 3; grey is repeated to 3 for keras: and hub:.
      weights: 'imagenet' (keras: only), or anything else for random ones; a hub module brings
        its own.
      pooling: 'avg' or 'max' over places; hub modules and `mlp` have their own.
      pixel_range: a key of `pixels.RANGES`; '' = what the table says.

    Returns:
      A model from float32 [N, S, S, C], 0 to 255, to float [N, F] in the compute type of the
      precision policy.

    Raises:
      ConfigError: an unknown name, a size the network does not take, weights that cannot be had.
    """
    if pooling not in POOLINGS:
        raise ConfigError(f"model.pooling={pooling!r} is none of {', '.join(POOLINGS)}")
    kind, _, which = name.partition(":")
    # Dropout inside a backbone then owns a generator, whose state a checkpoint can hold; without
    # this it draws from an op whose counter nobody can save.
    tf.keras.backend.experimental.enable_tf_random_generator()
    inputs = tf.keras.Input((image_size, image_size, channels), name="pixels")

    def scaled(default: str, wanted_channels: int) -> Any:
        return pixels.Pixels(pixel_range or default, wanted_channels, name="range")(inputs)

    with _channels_last():
        if kind == "keras" and which:
            family, network = _keras_application(which, image_size, weights, pooling)
            features = network(scaled(pixels.KERAS_FAMILIES[family], 3))
        elif kind == "hub" and which:
            features = HubFeatures(which, name="module")(scaled(pixels.hub_range(which), 3))
        elif name == "cnn":
            features = small.cnn(scaled(pixels.OURS[name], channels), pooling)
        elif name == "mlp":
            features = small.mlp(scaled(pixels.OURS[name], channels))
        else:
            raise ConfigError(
                f"model.backbone={name!r} is none of keras:NAME (such as keras:EfficientNetV2B0), "
                "hub:HANDLE_OR_PATH, cnn, mlp"
            )
    model = tf.keras.Model(inputs, features, name=BACKBONE)
    if weights == "imagenet" and kind != "keras":
        raise ConfigError(f"model.weights=imagenet exists for keras: backbones, not for {name!r}")
    return model


@contextlib.contextmanager
def _channels_last() -> Iterator[None]:
    """Layers built inside are channels_last, which Keras stores in each of them."""
    usual = tf.keras.backend.image_data_format()
    tf.keras.backend.set_image_data_format("channels_last")
    try:
        yield
    finally:
        tf.keras.backend.set_image_data_format(usual)


def keras_applications() -> dict[str, Any]:
    """Every network of keras.applications by name."""
    found = vars(tf.keras.applications).items()
    return {n: build for n, build in found if callable(build) and n[0].isupper()}


def keras_family(build: Any) -> str:
    """The module of keras.applications that defines a network: a key of KERAS_FAMILIES."""
    return str(build.__module__).rpartition(".")[2]


def _keras_application(which: str, image_size: int, weights: str, pooling: str) -> tuple[str, Any]:
    """The family and the network of a name in keras.applications, without its classifier."""
    known = {n.lower(): n for n in keras_applications()}
    name = known.get(which.lower())
    if name is None:
        near = difflib.get_close_matches(which.lower(), known, n=4)
        raise ConfigError(
            f"model.backbone=keras:{which}: keras.applications has no such network; near ones: "
            f"{', '.join(known[n] for n in near) or 'EfficientNetV2B0, MobileNetV2, ResNet50'}"
        )
    build = keras_applications()[name]
    pretrained = weights if weights == "imagenet" else None
    usual = socket.getdefaulttimeout()
    try:
        socket.setdefaulttimeout(DOWNLOAD_SECONDS)
        # Keras announces its download on stdout, which is for results.
        with contextlib.redirect_stdout(sys.stderr):
            network = build(
                include_top=False,
                weights=pretrained,
                input_shape=(image_size, image_size, 3),
                pooling=pooling,
            )
    except Exception as error:  # Keras raises a bare Exception where a download fails
        reason = str(error).strip().splitlines()[0]
        if pretrained and not isinstance(error, ValueError):
            raise ConfigError(
                f"model.weights=imagenet of {name} cannot be had ({reason}); {WEIGHTS_WAYS_OUT}, "
                "or put Keras's file into ~/.keras/models on this machine"
            ) from error
        raise ConfigError(
            f"model.backbone=keras:{name} refuses image_size={image_size}, "
            f"model.weights={weights!r} ({reason})"
        ) from error
    finally:
        socket.setdefaulttimeout(usual)
    return keras_family(build), network


def network_of(body: Any) -> Any:
    """The network inside a backbone, without the range of pixels: itself where it is ours."""
    inside = [layer for layer in body.layers if isinstance(layer, tf.keras.Model)]
    return inside[0] if inside else body
