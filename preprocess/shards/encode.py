"""Pixels -> bytes as they are stored, and the sizes they are stored in.

JPEG keeps OpenCV's default 4:2:0 chroma: practically every photo arrives with halved chroma, so
4:4:4 would spend a third more bytes, disk reads and decoding time on colour detail that is not
there. The same pixels, encoder settings and OpenCV version give the same bytes.
"""

from __future__ import annotations

import cv2
import numpy as np

ENCODINGS = ("jpeg", "png", "raw")
RESIZE_MODES = ("stretch", "pad", "crop")

# Level 3 is within some per cent of the smallest file at a fraction of the time. Written out, so
# that another default in another OpenCV does not change bytes.
_PNG_COMPRESSION = 3


def encode(image: np.ndarray, encoding: str, quality: int) -> bytes:
    """The bytes of one picture.

    Args:
      image: uint8[H, W, C], C = 1 (grey) or 3 (RGB).
      encoding: "jpeg", "png", or "raw": the pixels in row-major (H, W, C) order.
      quality: JPEG quality, 1 to 100; the others are lossless and ignore it.

    Raises:
      ValueError: for another shape, dtype, encoding or quality.
    """
    _check(image)
    if encoding == "raw":
        return image.tobytes()
    if encoding == "png":
        options = [cv2.IMWRITE_PNG_COMPRESSION, _PNG_COMPRESSION]
    elif encoding == "jpeg":
        if not 1 <= quality <= 100:
            raise ValueError(f"JPEG quality must be 1 to 100, got {quality}")
        options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    else:
        raise ValueError(f"encoding must be one of {', '.join(ENCODINGS)}, got {encoding!r}")
    swapped = image if image.shape[2] == 1 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    written, data = cv2.imencode({"jpeg": ".jpg", "png": ".png"}[encoding], swapped, options)
    if not written:
        raise ValueError(f"OpenCV cannot write a picture of shape {image.shape} as {encoding}")
    return bytes(data)


def resize(image: np.ndarray, size: int, mode: str) -> np.ndarray:
    """The picture as a square of `size` pixels.

    Args:
      image: uint8[H, W, C], C = 1 or 3.
      size: side of the result, pixels.
      mode: "stretch" ignores the aspect ratio; "pad" keeps it and centres the whole picture on
        black; "crop" keeps it and takes the largest square from the centre.

    Returns:
      uint8[size, size, C].

    Raises:
      ValueError: for another shape, dtype, mode or a size below 1.
    """
    _check(image)
    if size < 1:
        raise ValueError(f"size must be at least 1 pixel, got {size}")
    height, width = image.shape[:2]
    if mode == "stretch":
        return _scale(image, size, size)
    if mode == "pad":
        inner = fit(image, size)
        square = np.zeros((size, size, image.shape[2]), np.uint8)
        top, left = (size - inner.shape[0]) // 2, (size - inner.shape[1]) // 2
        square[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
        return square
    if mode == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return _scale(image[top : top + side, left : left + side], size, size)
    raise ValueError(f"resize mode must be one of {', '.join(RESIZE_MODES)}, got {mode!r}")


def fit(image: np.ndarray, size: int) -> np.ndarray:
    """The whole picture scaled, aspect ratio kept, so that its longer side is `size` pixels."""
    height, width = image.shape[:2]
    factor = size / max(height, width)
    return _scale(image, max(1, round(height * factor)), max(1, round(width * factor)))


def _scale(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Area averaging along the axes that shrink, cubic interpolation along those that grow.

    Two steps, as OpenCV's area mode turns to nearest-like when one axis grows, and cubic aliases
    when one shrinks.
    """
    shrunk = (min(height, image.shape[0]), min(width, image.shape[1]))
    for (rows, columns), method in (
        (shrunk, cv2.INTER_AREA),
        ((height, width), cv2.INTER_CUBIC),
    ):
        if image.shape[:2] != (rows, columns):
            channels = image.shape[2]
            image = cv2.resize(np.ascontiguousarray(image), (columns, rows), interpolation=method)
            image = image.reshape(rows, columns, channels)  # OpenCV drops a single channel
    return image


def _check(image: np.ndarray) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3) or not image.size:
        raise ValueError(
            "expected a non-empty picture uint8[H, W, 1 or 3], "
            f"got {image.dtype}{list(image.shape)}"
        )
