"""Which part of a model trains: `model.trainable`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preprocess.shell.errors import ConfigError
from preprocess.shell.nearest import nearest
from trainer.models.build_backbone import network_of

if TYPE_CHECKING:
    import tensorflow as tf

ALL, HEAD = "all", "head"
NAMED = 5  # layers in an error message


def freeze(body: tf.keras.Model, trainable: str) -> None:
    """Freezes a backbone, or the layers of its network before one of them.

    A frozen layer keeps its weights, and BatchNorm its statistics, which it uses as in inference.
    "Before" is the order of `network.layers`. Dropout between frozen layers of a network of which
    a part trains stays active.

    Args:
      body: of backbone().
      trainable: "all", "head" (nothing of the backbone), or the name of the first layer to train.

    Raises:
      ConfigError: no such layer.
    """
    check_trainable(body, trainable)
    body.trainable = trainable != HEAD
    if trainable in (ALL, HEAD):
        return
    layers = network_of(body).layers
    names = [layer.name for layer in layers]
    for layer in layers[: names.index(trainable)]:
        layer.trainable = False


def check_trainable(body: tf.keras.Model, trainable: str, key: str = "model.trainable") -> None:
    """Raises ConfigError if `key` names no layer of a backbone, nor all or head."""
    if trainable in (ALL, HEAD):
        return
    layers = network_of(body).layers
    names = [layer.name for layer in layers]
    if trainable not in names:
        near = nearest(trainable, names, NAMED, cutoff=0.7)
        named = [layer.name for layer in layers if layer.weights][-NAMED:]
        which = f"similar names: {', '.join(near)}" if near else f"its last are {', '.join(named)}"
        raise ConfigError(
            f"{key}={trainable!r} is neither all, head nor a layer of the backbone; {which}"
        )
