"""Files that `preprocess` stores as they are have to come out of TensorFlow as it saw them."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from preprocess.pictures.decode import decode
from preprocess.sources.refusals import Refused

# Pillow's talk about damaged headers.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


def scene() -> Image.Image:
    """Soft colours with an edge and some grain, 37x53: no multiple of a JPEG block."""
    rng = np.random.default_rng(0)
    red, green = np.meshgrid(np.linspace(0, 255, 53), np.linspace(255, 0, 37))
    pixels = np.stack([red, green, np.where(red > 128, 220, 30)], axis=-1)
    return Image.fromarray(
        np.clip(pixels + rng.normal(0, 6, pixels.shape), 0, 255).astype(np.uint8)
    )


def saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def with_gamma() -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add(b"gAMA", struct.pack(">I", 20_000))
    return saved(scene(), "PNG", pnginfo=info)


JPEGS = [
    *(
        saved(scene(), "JPEG", quality=quality, subsampling=subsampling, progressive=progressive)
        for quality in (60, 95)
        for subsampling in (0, 1, 2)
        for progressive in (False, True)
    ),
    saved(scene(), "JPEG", restart_marker_blocks=2),
    saved(scene(), "JPEG", keep_rgb=True),
    saved(scene().convert("L"), "JPEG"),
]
PNGS = [saved(scene(), "PNG"), saved(scene().convert("L"), "PNG"), with_gamma()]


@pytest.mark.parametrize("data", JPEGS)
def test_jpeg_comes_out_equal_by_the_accurate_method_and_near_by_the_default(data: bytes) -> None:
    """The default method (JDCT_IFAST) rounds more coarsely: a few grey levels, about one on
    average.
    """
    import tensorflow as tf

    decoded = decode(data)
    assert decoded.verbatim
    accurate = tf.io.decode_jpeg(data, dct_method="INTEGER_ACCURATE").numpy()
    np.testing.assert_array_equal(accurate, decoded.image)
    default = tf.io.decode_image(data, expand_animations=False).numpy().astype(int)
    assert np.abs(default - decoded.image).mean() < 1.5
    assert np.abs(default - decoded.image).max() < 16


@pytest.mark.parametrize("data", PNGS)
def test_png_comes_out_equal(data: bytes) -> None:
    import tensorflow as tf

    decoded = decode(data)
    assert decoded.verbatim
    np.testing.assert_array_equal(
        tf.io.decode_image(data, expand_animations=False).numpy(), decoded.image
    )


def test_tensorflow_reads_every_damaged_file_that_was_let_through() -> None:
    """One that it refuses would end a training. 1,500 files with a few bytes changed."""
    import tensorflow as tf

    rng = np.random.default_rng(5)
    pool = JPEGS + PNGS
    passed = 0
    for _ in range(1500):
        data = bytearray(pool[rng.integers(len(pool))])
        for _ in range(rng.integers(1, 4)):
            data[rng.integers(len(data))] = rng.integers(256)
        try:
            decoded = decode(bytes(data))
        except Refused:
            continue
        if decoded.verbatim:
            image = tf.io.decode_image(bytes(data), expand_animations=False)
            assert tuple(image.shape) == decoded.image.shape
            passed += 1
    assert passed > 100
