"""Decodes picture files of any kind with the build's decoder, to the same pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from preprocess.pictures.decode import decode
from preprocess.pictures.limits import MAX_BYTES
from preprocess.pictures.refusal import Refused
from preprocess.shell.errors import DataError
from preprocess.shell.regular_files import read_regular
from trainer.data import storage


class UnreadablePicture(Exception):
    """A file that is not an intact picture; the message says why."""


def file_pixels(path: str, channels: int) -> NDArray[np.uint8]:
    """uint8 [H, W, channels] of a file or an address, upright.

    Raises UnreadablePicture, or StorageError if the storage does not respond.
    """
    try:
        return with_channels(decode(_read(path)).image, channels)
    except Refused as refused:
        raise UnreadablePicture(refused.detail) from None
    except OSError as error:
        raise UnreadablePicture(error.strerror or str(error)) from None
    except DataError as error:
        raise UnreadablePicture(str(error)) from None


def _read(path: str) -> bytes:
    if not storage.is_address(path):
        return read_regular(path, MAX_BYTES)
    size = storage.size(path)
    if size > MAX_BYTES:
        raise UnreadablePicture(f"{size} bytes; at most {MAX_BYTES} are allowed")
    return storage.read_bytes(path)


def with_channels(pixels: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """uint8 [H, W, channels] of uint8 [H, W, 1 or 3]: repeats grey, takes the luma of colour."""
    if pixels.shape[2] == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=2)
    return np.asarray(Image.fromarray(pixels).convert("L"))[..., np.newaxis]
