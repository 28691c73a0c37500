"""The only module that imports tensorflow-addons.

tensorflow-addons ended in May 2024 with 0.23: it gets no fixes and does not follow TensorFlow
beyond 2.15, so the next stack is without it. What it is asked for here, cutout and its optimizers,
sits behind our own names, so that the day it goes this file goes with it and nothing else changes.
It is imported at first use because it is slow to import and most runs never need it.
"""

from __future__ import annotations

import functools
import warnings
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING

from preprocess.shell.errors import ConfigError

if TYPE_CHECKING:
    import tensorflow as tf

# Where there is a tensorflow-addons.
WITH_THEM = "on the default stack only (requirements.txt)"
# They ask for the number of their learning rate where a schedule has none to give.
WITHOUT_SCHEDULE = ("ConditionalGradient",)


@functools.cache
def _addons() -> ModuleType:
    # Its end-of-life notice is for maintainers, who read this file; our users can do nothing
    # about it. The notice sets a warnings filter of its own, so filters alone do not hold it.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        show, warnings.showwarning = warnings.showwarning, lambda *_, **__: None
        try:
            import tensorflow_addons
        finally:
            warnings.showwarning = show
    return tensorflow_addons


def random_cutout(
    images: tf.Tensor, size: tuple[int, int], centres: tf.Tensor, fill: float
) -> tf.Tensor:
    """tensorflow-addons' random cutout, its centres drawn by us.

    `tfa.image.random_cutout` is `tfa.image.cutout` at centres from a stateful generator, which
    would make the run depend on the replica count and on restarts. So the centres come in.

    Args:
      images: float32 [N, H, W, C].
      size: (height, width) of the hole in pixels, both even.
      centres: int32 [N, 2], row and column of each hole's centre.
      fill: pixel value of the hole.

    Returns:
      float32 [N, H, W, C]. The hole is cut off where it leaves the picture.
    """
    return _addons().image.cutout(images, size, centres, fill)


def installed() -> bool:
    """Whether there is a tensorflow-addons, found without importing it."""
    return find_spec("tensorflow_addons") is not None


def require(what: str, instead: str) -> None:
    """Raises ConfigError, with the way out, where `what` needs it and it is not installed."""
    if not installed():
        raise ConfigError(
            f"{what} needs tensorflow-addons, which does not exist for this TensorFlow: "
            f"{instead}; tensorflow-addons is {WITH_THEM}"
        )


def optimizer_classes() -> dict[str, type]:
    """The optimizers of tensorflow-addons by name; all of Keras's legacy optimizer interface.

    None if it is not installed.
    """
    import tensorflow as tf

    if not installed():
        return {}
    found = vars(_addons().optimizers).items()
    legacy = tf.keras.optimizers.legacy.Optimizer
    return {
        name: kind
        for name, kind in found
        if isinstance(kind, type) and issubclass(kind, legacy) and kind is not legacy
    }
