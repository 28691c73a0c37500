"""The only module that imports tensorflow-hub, and the only one that talks to a model server.

`hub.KerasLayer` does not work with Keras 3, so the day TensorFlow moves on, this file is what has
to go. It is imported at first use: most runs never need it.

TensorFlow itself can hang for minutes on a handle that cannot be reached, and cannot be
interrupted then. So a remote handle is probed first, with a time limit, in a thread that is left
behind if it does not come back.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import tensorflow as tf

from preprocess.shell.errors import ConfigError
from preprocess.shell.probe import PROBE_SECONDS, probe
from preprocess.shell.tensorflow_text import error_reason
from trainer.compat.saving import registered


def _ways_out(handle: str) -> str:
    return (
        "without a network take model.backbone=keras:EfficientNetV2B0 with model.weights='', or "
        "hub:PATH of a SavedModel on disk, or set TFHUB_CACHE_DIR to a folder that has the module "
        f"as {_cache_name(handle)}"
    )


def probe_url(handle: str) -> str | None:
    """The address that tells whether a handle is available; None for a local path."""
    if handle.startswith("gs://"):
        return f"https://storage.googleapis.com/{handle.removeprefix('gs://')}/saved_model.pb"
    return handle if handle.startswith(("https://", "http://")) else None


def _cache_name(handle: str) -> str:
    """The folder of a handle in tensorflow-hub's cache."""
    return hashlib.sha1(handle.encode()).hexdigest()


def cache_folder() -> str:
    """Where modules are kept: $TFHUB_CACHE_DIR, or a folder that is this user's alone.

    tensorflow-hub's own default is a known name in the shared temporary folder, where anybody can
    leave a module of their making before us; a module runs as code.
    """
    if given := os.environ.get("TFHUB_CACHE_DIR"):
        return given
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(home, "shardline", "tfhub_modules")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return str(folder)


def _cached(handle: str) -> str | None:
    """Where the cache holds a handle, if it does.

    tensorflow-hub itself looks there for archives only, and reads a gs:// folder in place each
    time; we look for every handle.
    """
    folder = Path(cache_folder(), _cache_name(handle))
    return str(folder) if (folder / "saved_model.pb").is_file() else None


def locate(handle: str, seconds: float = PROBE_SECONDS) -> str:
    """What to load for a handle: itself or its copy in the cache, there for certain.

    Args:
      handle: gs:// or https:// address, or the path of a SavedModel.
      seconds: limit of the probe of an address.

    Raises:
      ConfigError: a path that is no SavedModel, or an address that cannot be reached.
    """
    url = probe_url(handle)
    if url is None:
        path = Path(handle).expanduser()
        if not (path / "saved_model.pb").is_file():
            raise ConfigError(
                f"model.backbone=hub:{handle}: no SavedModel there (saved_model.pb); "
                f"{_ways_out(handle)}"
            )
        return str(path)
    cached = _cached(handle)
    problem = None if cached else probe(url, seconds)
    if problem:
        raise ConfigError(
            f"model.backbone=hub:{handle} cannot be reached ({problem}); {_ways_out(handle)}"
        )
    return cached or handle


@registered
class HubFeatures(tf.keras.layers.Layer):
    """A module of TF-Hub that turns pictures into feature vectors.

    A saved model holds the handle and the weights: loading it needs the module again.

    Attributes:
      handle: gs:// or https:// address, or the path of a SavedModel.

    Raises:
      ConfigError: the handle is not available, or is not a module of this kind.
    """

    def __init__(self, handle: str, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        place = locate(handle)
        os.environ["TFHUB_CACHE_DIR"] = cache_folder()
        import tensorflow_hub

        self.handle = handle
        try:
            self.module = tensorflow_hub.KerasLayer(place, trainable=True, dtype="float32")
        except (OSError, ValueError, RuntimeError, AttributeError, tf.errors.OpError) as error:
            reason = error_reason(error) or type(error).__name__
            raise ConfigError(
                f"model.backbone=hub:{handle} cannot be loaded ({reason}); {_ways_out(handle)}"
            ) from error

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns float32 [N, F] of pictures [N, S, S, 3] in the module's range."""
        return self.module(inputs, training=training)

    def get_config(self) -> dict[str, object]:
        """Arguments to build this layer again."""
        return {**super().get_config(), "handle": self.handle}
