"""Keras's files of ImageNet weights: downloaded whole or not at all, and left out where wanted.

Keras writes a download straight to the file's final name and takes what is there the next time,
whole or not, and for some networks it knows no checksum. Here a file gets its name when it is
complete, so a process that ends meanwhile, or another that begins, does no harm.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from unittest import mock

import h5py
import tensorflow as tf

from preprocess.shell.atomic import replacing

SOCKET_SECONDS = 10.0  # Keras waits for its weights without a limit of its own
LEFTOVER_SECONDS = 3600.0  # since a download last wrote, after which it is taken for dead


@contextlib.contextmanager
def whole_downloads() -> Iterator[None]:
    """What Keras downloads inside comes by way of fetch()."""
    module = _module()
    download = module.get_file

    def get_file(fname: str, origin: str, **options: str) -> str:
        return fetch(fname, origin, download, **options)

    with mock.patch.object(module, "get_file", get_file):
        yield


@contextlib.contextmanager
def no_weights() -> Iterator[None]:
    """Keras's networks that are built inside with weights="imagenet" keep their random ones."""
    with (
        mock.patch.object(_module(), "get_file", return_value=""),
        mock.patch.object(tf.keras.Model, "load_weights", return_value=None),
    ):
        yield


def fetch(
    fname: str,
    origin: str,
    download: Callable[..., object],
    *,
    file_hash: str | None = None,
    cache_subdir: str = "models",
    **_: object,
) -> str:
    """A file of Keras's cache, from `origin` unless it is there and complete.

    Processes of one machine wait for each other, so that one of them downloads it.

    Args:
      fname: its name in the cache.
      origin: its address.
      download: tf.keras.utils.get_file.
      file_hash: sha256 or md5 of the file, where Keras knows it.
      cache_subdir: the folder in the cache.

    Returns:
      Its path.

    Raises:
      OSError: what came is not complete; Exception, of Keras's: nothing came.
    """
    path = _cache() / cache_subdir / fname
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{path}.lock", "w", encoding="utf-8") as lock:
        with contextlib.suppress(OSError):  # storage without locks: then each one downloads it
            fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_whole(path, file_hash):
            _drop_leftovers(path)
            with replacing(path) as temporary:
                download(temporary, origin)
                if not _is_whole(Path(temporary), file_hash):
                    raise OSError(f"what came from {origin} is not complete")
    return str(path)


def _module() -> ModuleType:
    """Keras's module of downloads, of whichever package `tf.keras` is."""
    return sys.modules[tf.keras.utils.Sequence.__module__]


def _cache() -> Path:
    """Keras's own choice of a folder."""
    home = Path("~/.keras").expanduser()
    with contextlib.suppress(OSError):
        home.mkdir(parents=True, exist_ok=True)
    return home if os.access(home, os.W_OK) else Path("/tmp/.keras")


def _is_whole(path: Path, file_hash: str | None) -> bool:
    """Whether a file has its checksum, or without one, is an HDF5 file of its full length."""
    if not path.is_file():
        return False
    if file_hash is None:
        try:
            h5py.File(path).close()  # refuses a file that is shorter than it says
        except OSError:
            return False
        return True
    return bool(_module().validate_file(str(path), file_hash))


def _drop_leftovers(path: Path) -> None:
    """Drops what killed downloads of a file left."""
    for left in path.parent.glob(f"{path.name}.tmp-*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > LEFTOVER_SECONDS:
                left.unlink()
