"""The on-device layers as one callable, from the keys of `augment`."""

from typing import Any

import tensorflow as tf

from trainer.errors import ConfigError
from trainer.layers.base import PACKAGE
from trainer.layers.colour import RandomBrightness, RandomContrast
from trainer.layers.cutout import Cutout, TfaCutout
from trainer.layers.geometry import RandomCrop, RandomFlip, RandomRotation, Resize

CUTOUTS = {"vectorised": Cutout, "addons": TfaCutout}


@tf.keras.saving.register_keras_serializable(package=PACKAGE)
class Augmentation(tf.keras.layers.Layer):
    """Layers one after another on pixels 0 to 255, float32 throughout.

    Not a `Sequential`, which cannot be empty and would be built for one picture size.

    Attributes:
      layers: the layers in order; none is the identity.
    """

    def __init__(self, layers: list[Any], **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.layers = layers

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Returns float32 [N, H', W', C] of pictures [N, H, W, C], uint8 or float32, 0 to 255."""
        images = tf.cast(inputs, tf.float32)
        for layer in self.layers:
            images = layer(images) if isinstance(layer, Resize) else layer(images, training)
        return images

    def get_config(self) -> dict[str, Any]:
        """Arguments to build this layer again."""
        layers = [tf.keras.saving.serialize_keras_object(layer) for layer in self.layers]
        return {**super().get_config(), "layers": layers}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Augmentation":
        """Build from what `get_config` gave."""
        layers = [tf.keras.saving.deserialize_keras_object(layer) for layer in config["layers"]]
        return cls(**{**config, "layers": layers})


def build_augmentation(augment: Any) -> Augmentation:
    """The layers that `augment` asks for, each named, so that its numbers outlive a restart.

    Resize, crop, flip, cutout, rotation: the order of the image-folder recipe, in which the
    rotation turns the hole too. Brightness and contrast come before the cutout, so that the hole
    keeps its colour and does not count in the mean. Only resize and the crop (its centre) act at
    inference.

    Args:
      augment: an object with the attributes `enabled`, `resize_to` (side in pixels, 0 = none),
        `crop` (side, 0 = none), `flip` (bool), `rotation` (fraction of a turn), `cutout` (side,
        0 = none), `cutout_implementation` (a key of CUTOUTS), `brightness`, `contrast` (relative).

    Returns:
      A layer called with (pictures, training); the identity when not enabled.

    Raises:
      ConfigError: an implementation of cutout that does not exist or does not take the size.
    """
    if augment.cutout_implementation not in CUTOUTS:
        raise ConfigError(
            f"augment.cutout_implementation={augment.cutout_implementation!r} is none of "
            f"{', '.join(CUTOUTS)}"
        )
    layers: list[Any] = []
    if augment.resize_to:
        layers.append(Resize(augment.resize_to, name="resize"))
    if augment.crop:
        layers.append(RandomCrop(augment.crop, name="random_crop"))
    if augment.flip:
        layers.append(RandomFlip(name="random_flip"))
    if augment.brightness:
        layers.append(RandomBrightness(augment.brightness, name="random_brightness"))
    if augment.contrast:
        layers.append(RandomContrast(augment.contrast, name="random_contrast"))
    if augment.cutout:
        hole = CUTOUTS[augment.cutout_implementation]
        layers.append(hole((augment.cutout, augment.cutout), name="cutout"))
    if augment.rotation:
        layers.append(RandomRotation(augment.rotation, name="random_rotation"))
    return Augmentation(layers if augment.enabled else [], name="augmentation")
