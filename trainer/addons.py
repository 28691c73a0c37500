"""The only module that imports tensorflow-addons.

tensorflow-addons ended in May 2024 with 0.23: it gets no fixes and does not follow TensorFlow
beyond 2.15. What it is asked for here, cutout and its optimizers, sits behind our own names, so
that the day it goes this file goes with it and nothing else changes. It is imported at first use
because it is slow to import and most runs never need it.
"""

import functools
import warnings
from typing import Any


@functools.cache
def _addons() -> Any:
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


def random_cutout(images: Any, size: tuple[int, int], centres: Any, fill: float) -> Any:
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


def optimizer_classes() -> dict[str, type]:
    """The optimizers of tensorflow-addons by name; all of Keras's legacy optimizer interface."""
    import tensorflow as tf

    found = vars(_addons().optimizers).items()
    legacy = tf.keras.optimizers.legacy.Optimizer
    return {
        name: kind
        for name, kind in found
        if isinstance(kind, type) and issubclass(kind, legacy) and kind is not legacy
    }
