"""The only module that imports tensorflow-hub, and the only one that talks to a model server.

`hub.KerasLayer` does not work with Keras 3, so the day TensorFlow moves on, this file is what has
to go. It is imported at first use: most runs never need it.

TensorFlow itself can hang for minutes on a handle that cannot be reached, and cannot be
interrupted then. So a remote handle is probed first, with a time limit, in a thread that is left
behind if it does not come back.
"""

import hashlib
import http.client
import os
import tempfile
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import tensorflow as tf

from trainer.errors import ConfigError
from trainer.layers.base import PACKAGE

PROBE_SECONDS = 10.0


def _ways_out(handle: str) -> str:
    return (
        "without a network take model.backbone=keras:EfficientNetV2B0 with model.weights='', or "
        "hub:PATH of a SavedModel on disk, or set TFHUB_CACHE_DIR to a folder that has the module "
        f"as {_cache_name(handle)}"
    )


def probe_url(handle: str) -> str | None:
    """The address that tells whether a handle can be had; None for a local path."""
    if handle.startswith("gs://"):
        return f"https://storage.googleapis.com/{handle.removeprefix('gs://')}/saved_model.pb"
    return handle if handle.startswith(("https://", "http://")) else None


def probe(url: str, seconds: float = PROBE_SECONDS) -> str | None:
    """What is wrong with a server, in words, within `seconds`; None when it answers.

    Whatever it answers: a bucket that wants credentials, a server without HEAD, a module that does
    not exist are left to TensorFlow, which does not hang on those. Proxies of the environment are
    used, as TensorFlow does.
    """
    problems: list[str | None] = []

    def ask() -> None:
        request = urllib.request.Request(url, method="HEAD")
        try:
            urllib.request.urlopen(request, timeout=seconds).close()
            problems.append(None)
        except urllib.error.HTTPError:
            problems.append(None)
        except (OSError, ValueError, http.client.HTTPException) as error:
            problems.append(str(getattr(error, "reason", error)))

    # A thread on top of the socket's own limit, which does not cover looking up the name.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return problems[0] if problems else f"no answer within {seconds:g} s"


def _cache_name(handle: str) -> str:
    """The folder of a handle in tensorflow-hub's cache."""
    return hashlib.sha1(handle.encode()).hexdigest()


def _cached(handle: str) -> str | None:
    """Where the cache holds a handle, if it does.

    tensorflow-hub itself looks there for archives only, and reads a gs:// folder in place each
    time; we look for every handle.
    """
    cache = os.environ.get("TFHUB_CACHE_DIR") or Path(tempfile.gettempdir(), "tfhub_modules")
    folder = Path(cache, _cache_name(handle))
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
        if not Path(handle, "saved_model.pb").is_file():
            raise ConfigError(
                f"model.backbone=hub:{handle}: no SavedModel there (saved_model.pb); "
                f"{_ways_out(handle)}"
            )
        return handle
    cached = _cached(handle)
    problem = None if cached else probe(url, seconds)
    if problem:
        raise ConfigError(
            f"model.backbone=hub:{handle} cannot be reached ({problem}); {_ways_out(handle)}"
        )
    return cached or handle


@tf.keras.saving.register_keras_serializable(package=PACKAGE)
class HubFeatures(tf.keras.layers.Layer):
    """A module of TF-Hub that turns pictures into feature vectors.

    A saved model holds the handle and the weights: loading it needs the module again.

    Attributes:
      handle: gs:// or https:// address, or the path of a SavedModel.

    Raises:
      ConfigError: the handle cannot be had, or is not a module of this kind.
    """

    def __init__(self, handle: str, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        place = locate(handle)
        import tensorflow_hub

        self.handle = handle
        try:
            self.module = tensorflow_hub.KerasLayer(place, trainable=True, dtype="float32")
        except (OSError, ValueError, RuntimeError, AttributeError, tf.errors.OpError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ConfigError(
                f"model.backbone=hub:{handle} cannot be loaded ({reason}); {_ways_out(handle)}"
            ) from error

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Returns float32 [N, F] of pictures [N, S, S, 3] in the module's range."""
        return self.module(inputs, training=training)

    def get_config(self) -> dict[str, Any]:
        """Arguments to build this layer again."""
        return {**super().get_config(), "handle": self.handle}
