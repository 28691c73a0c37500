"""A network of keras.applications, with ImageNet weights or random ones."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Callable

import tensorflow as tf

from preprocess.shell.errors import ConfigError
from preprocess.shell.nearest import nearest
from preprocess.shell.tensorflow_text import error_reason
from trainer.models import keras_files
from trainer.models.wanted import WEIGHTS_WAYS_OUT, Wanted

FORM = "keras:NAME (such as keras:EfficientNetV2B0)"
WEIGHTS = ("imagenet",)
REPEATS_GREY = True
IMAGENET = "imagenet"
# Keras builds these with another layer for its own weights (a constant that completes the scaling
# of pixels they were trained with). They are built with it whatever the weights, so that a network
# is the same one wherever its weights come from.
GRAPH_BY_WEIGHTS = ("efficientnet",)
# The range of pixels a family wants, by the module that defines it.
FAMILIES = {
    "convnext": "0..255",
    "densenet": "torch",
    "efficientnet": "0..255",
    "efficientnet_v2": "0..255",
    "inception_resnet_v2": "-1..1",
    "inception_v3": "-1..1",
    "mobilenet": "-1..1",
    "mobilenet_v2": "-1..1",
    "mobilenet_v3": "0..255",
    "nasnet": "-1..1",
    "regnet": "0..255",
    "resnet": "caffe",
    "resnet_rs": "0..255",
    "resnet_v2": "-1..1",
    "vgg16": "caffe",
    "vgg19": "caffe",
    "xception": "-1..1",
}


def build(wanted: Wanted) -> tf.Tensor:
    """Features of the network without its classifier."""
    family, network = _application(wanted)
    return network(wanted.pixels(FAMILIES[family], 3))


def keras_applications() -> dict[str, Callable[..., tf.keras.Model]]:
    """Every network of keras.applications by name."""
    found = vars(tf.keras.applications).items()
    return {n: build for n, build in found if callable(build) and n[0].isupper()}


def keras_family(build: Callable[..., tf.keras.Model]) -> str:
    """The module of keras.applications that defines a network: a key of FAMILIES."""
    return str(build.__module__).rpartition(".")[2]


def _application(wanted: Wanted) -> tuple[str, Callable[..., tf.keras.Model]]:
    """The family and the network of a name in keras.applications, without its classifier."""
    which, image_size, weights = wanted.which, wanted.image_size, wanted.weights
    known = {n.lower(): n for n in keras_applications()}
    name = known.get(which.lower())
    if name is None:
        near = nearest(which, known.values(), 4)
        raise ConfigError(
            f"model.backbone=keras:{which}: keras.applications has no such network; similar names: "
            f"{', '.join(near) or 'EfficientNetV2B0, MobileNetV2, ResNet50'}"
        )
    build = keras_applications()[name]
    usual = socket.getdefaulttimeout()
    try:
        socket.setdefaulttimeout(keras_files.SOCKET_SECONDS)
        # Keras announces its download on stdout, which is for results.
        with contextlib.redirect_stdout(sys.stderr):
            network = _build(build, wanted)
    except Exception as error:  # Keras raises a bare Exception where a download fails
        reason = error_reason(error) or type(error).__name__
        if weights == IMAGENET and not isinstance(error, ValueError):
            raise ConfigError(
                f"model.weights=imagenet of {name} is not available ({reason}); "
                f"{WEIGHTS_WAYS_OUT}, or put Keras's file into ~/.keras/models on this machine"
            ) from error
        raise ConfigError(
            f"model.backbone=keras:{name} refuses image_size={image_size}, "
            f"model.weights={weights!r} ({reason})"
        ) from error
    finally:
        socket.setdefaulttimeout(usual)
    return keras_family(build), network


def _build(build: Callable[..., tf.keras.Model], wanted: Wanted) -> tf.keras.Model:
    """The network with ImageNet's weights or random ones, and the same layers for both."""
    taken = wanted.weights == IMAGENET
    same_graph = taken or keras_family(build) in GRAPH_BY_WEIGHTS
    with keras_files.whole_downloads() if taken else keras_files.no_weights():
        return build(
            include_top=False,
            weights=IMAGENET if same_graph else None,
            input_shape=(wanted.image_size, wanted.image_size, 3),
            pooling=wanted.pooling,
        )
