"""Affine maps of pictures: several in a row take the pixels of the original once."""

from __future__ import annotations

from typing import TypeAlias, Unpack

import tensorflow as tf

from preprocess.shell.json_text import JsonObject
from trainer.compat.saving import registered
from trainer.models.layers.base import KeyedLayer, LayerArguments

# float32 [N] each: a pixel (x, y) of the result comes from (a0 x + a1 y + a2, b0 x + b1 y + b2).
Affine: TypeAlias = "tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]"


Sides: TypeAlias = "tuple[tf.Tensor, tf.Tensor]"  # height and width of a picture, int32


def sides_of(images: tf.Tensor) -> Sides:
    """Height and width of pictures [N, H, W, C]."""
    return tf.shape(images)[1], tf.shape(images)[2]


def warp(images: tf.Tensor, affine: Affine, sides: Sides, fill_mode: str = "reflect") -> tf.Tensor:
    """Map each picture, bilinear.

    Args:
      images: float32 [N, H, W, C].
      affine: where the pixels come from.
      sides: of the pictures.
      fill_mode: what lies outside: reflect, wrap, constant (0) or nearest.

    Returns:
      float32 [N, H, W, C].
    """
    nothing = tf.zeros_like(affine[0])
    mapped = tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([*affine, nothing, nothing], axis=1),
        output_shape=tf.stack(sides),
        interpolation="BILINEAR",
        fill_mode=fill_mode.upper(),
        fill_value=0.0,
    )
    mapped.set_shape(images.shape)
    return mapped


def centre(sides: Sides) -> tuple[tf.Tensor, tf.Tensor]:
    """(x, y) of the middle of a picture, in pixels, float32."""
    height, width = sides
    return tf.cast(width - 1, tf.float32) / 2, tf.cast(height - 1, tf.float32) / 2


def composed(first: Affine, second: Affine) -> Affine:
    """The map of two that act one after the other.

    Written out, because a product of matrices would be rounded to 10 bits on some GPUs.
    """
    a, b, c, d, e, f = first
    p, q, r, s, t, u = second
    return (
        a * p + b * s,
        a * q + b * t,
        a * r + b * u + c,
        d * p + e * s,
        d * q + e * t,
        d * r + e * u + f,
    )


class Warp(KeyedLayer):
    """A layer that maps pictures by a random affine map; the border is reflected.

    A subclass writes `affine`.
    """

    fill_mode = "reflect"

    def affine(self, images: tf.Tensor, sides: Sides) -> Affine:
        """Draws where the pixels of each picture come from."""
        raise NotImplementedError  # abstract

    def transform(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns float32 [N, H, W, C]."""
        sides = sides_of(inputs)
        return warp(inputs, self.affine(inputs, sides), sides, self.fill_mode)


@registered
class Warps(KeyedLayer):
    """Neighbouring warps as one: a single interpolation, which is faster and blurs less.

    What each draws is what it would draw alone. Only at the border do the pictures differ from
    those of one after the other: it is reflected once.

    Attributes:
      layers: in the order in which they act.
    """

    def __init__(self, layers: list[Warp], **kwargs: Unpack[LayerArguments]) -> None:
        super().__init__(**kwargs)
        self.layers = layers

    def transform(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns float32 [N, H, W, C]."""
        sides = sides_of(inputs)
        whole, *others = (layer.affine(inputs, sides) for layer in self.layers)
        for affine in others:
            whole = composed(whole, affine)
        return warp(inputs, whole, sides)

    def get_config(self) -> dict[str, object]:
        """Arguments to build this layer again."""
        layers = [tf.keras.saving.serialize_keras_object(layer) for layer in self.layers]
        return {**super().get_config(), "layers": layers}

    @classmethod
    def from_config(cls, config: JsonObject) -> Warps:
        """Build from what `get_config` gave."""
        layers = [tf.keras.saving.deserialize_keras_object(layer) for layer in config["layers"]]
        return cls(**{**config, "layers": layers})


def merged(layers: list[tf.keras.layers.Layer]) -> list[tf.keras.layers.Layer]:
    """The layers, with neighbouring warps of reflected borders as one each."""
    found: list[tf.keras.layers.Layer] = []
    groups: list[list[tf.keras.layers.Layer]] = []
    for layer in layers:
        joins = isinstance(layer, Warp) and layer.fill_mode == Warp.fill_mode
        if joins and groups and isinstance(groups[-1][-1], Warp):
            groups[-1].append(layer)
        else:
            groups.append([layer])
    for group in groups:
        name = "_".join(layer.name for layer in group)
        found.append(Warps(group, name=name) if len(group) > 1 else group[0])
    return found
