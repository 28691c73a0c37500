"""Pixels without TensorFlow: bit for bit those of its decoder, or refused as it refuses."""

import io

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from preprocess.dataset_format import ImageFormat, ImageKey
from trainer.data.decoding import Decoder
from trainer.data.picture_record import BadRecordError, PictureRecord
from trainer.data.pixel_decoding import PixelDecoder


def noisy(seed, height, width, channels=3):
    """uint8[H, W, channels]: blots with noise, which a JPEG keeps some of."""
    rng = np.random.default_rng(seed)
    blots = Image.fromarray(rng.integers(0, 256, (6, 6, 3)).astype(np.uint8))
    pixels = np.asarray(blots.resize((width, height), Image.BICUBIC)).astype(int)
    pixels = (pixels + rng.integers(-20, 20, pixels.shape)).clip(0, 255).astype(np.uint8)
    return pixels[..., :channels]


def file_of(pixels, kind="JPEG", **options):
    file = io.BytesIO()
    shown = pixels if pixels.shape[2] == 3 else pixels[..., 0]
    Image.fromarray(shown).save(file, kind, **options)
    return file.getvalue()


def record_of(encoded, height, width, channels=3):
    return PictureRecord(encoded, 0, 0, height, width, channels)


def formed(encoding, height, width, channels=3):
    return ImageFormat(encoding, 95, 0, "stretch", height, width, channels)


def of_tensorflow(record, form, channels):
    names = (ImageKey.ENCODED, ImageKey.HEIGHT, ImageKey.WIDTH, ImageKey.CHANNELS)
    values = (record.encoded, record.height, record.width, record.channels)
    features = dict(zip(names, map(tf.constant, values), strict=True))
    try:
        return Decoder(form, channels).decode(features).numpy()
    except (tf.errors.InvalidArgumentError, ValueError):
        return None


def of_ours(record, form, channels):
    out = np.zeros((form.height, form.width, channels), np.uint8)
    try:
        PixelDecoder(form, channels).decode(record, out)
    except BadRecordError:
        return None
    return out


@settings(max_examples=120, deadline=None)
@given(
    size=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    stored=st.sampled_from([1, 3]),
    channels=st.sampled_from([1, 3]),
    quality=st.integers(1, 100),
    options=st.fixed_dictionaries(
        {
            "subsampling": st.integers(0, 2),
            "progressive": st.booleans(),
            "restart_marker_blocks": st.integers(0, 3),
            "optimize": st.booleans(),
        }
    ),
)
def test_a_jpeg_of_any_kind_has_the_pixels_of_tensorflow(size, stored, channels, quality, options):
    height, width = size
    encoded = file_of(noisy(quality, height, width, stored), quality=quality, **options)
    record = record_of(encoded, height, width, stored)
    form = formed("jpeg", height, width)
    np.testing.assert_array_equal(
        of_ours(record, form, channels), of_tensorflow(record, form, channels)
    )


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("stored", [1, 3])
@pytest.mark.parametrize("encoding", ["png", "raw"])
def test_png_and_raw_pictures_have_the_pixels_of_tensorflow(encoding, stored, channels):
    """All levels of each colour against the others, among much else."""
    pixels = np.random.default_rng(0).integers(0, 256, (512, 512, stored)).astype(np.uint8)
    encoded = pixels.tobytes() if encoding == "raw" else file_of(pixels, "PNG", compress_level=0)
    record, form = record_of(encoded, 512, 512, stored), formed(encoding, 512, 512, stored)
    expected = of_tensorflow(record, form, channels)
    np.testing.assert_array_equal(of_ours(record, form, channels), expected)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_a_damaged_jpeg_never_has_other_pixels_than_tensorflow_has(seed, progressive):
    """Cut off, bytes changed, bytes put in: what we take is what TensorFlow takes."""
    rng = np.random.default_rng(seed)
    data = bytearray(file_of(noisy(seed % 50, 32, 40), quality=80, progressive=progressive))
    place = int(rng.integers(2, len(data)))
    match rng.integers(3):
        case 0:
            del data[place:]
        case 1:
            data[place] = rng.integers(256)
        case 2:
            data[place:place] = rng.bytes(rng.integers(1, 5))
    record, form = record_of(bytes(data), 32, 40), formed("jpeg", 32, 40)
    ours = of_ours(record, form, 3)
    if ours is not None:
        np.testing.assert_array_equal(ours, of_tensorflow(record, form, 3))


def test_a_jpeg_that_is_cut_off_is_refused_by_both():
    data = file_of(noisy(0, 32, 40))
    record, form = record_of(data[: len(data) // 2], 32, 40), formed("jpeg", 32, 40)
    assert of_ours(record, form, 3) is of_tensorflow(record, form, 3) is None


@pytest.mark.parametrize("size", [(40, 32), (31, 40), (33, 40), (64, 20)])
def test_a_picture_of_another_size_than_the_dataset_says_is_refused(size):
    """64x20 has as many pixels as 32x40."""
    record, form = record_of(file_of(noisy(0, *size)), 32, 40), formed("jpeg", 32, 40)
    assert of_ours(record, form, 3) is of_tensorflow(record, form, 3) is None


@pytest.mark.parametrize("adobe", [True, False])
@pytest.mark.parametrize("channels", [1, 3])
def test_four_colours_have_the_pixels_of_tensorflow_but_no_grey(adobe, channels):
    """Files of Adobe's have inverted colours. No build stores such: it turns CMYK into RGB."""
    file = io.BytesIO()
    Image.fromarray(noisy(0, 32, 40)).convert("CMYK").save(file, "JPEG")
    data = file.getvalue()
    if not adobe:
        start = data.index(b"\xff\xee\x00\x0eAdobe")
        data = data[:start] + data[start + 16 :]
    record, form = record_of(data, 32, 40), formed("jpeg", 32, 40)
    expected = of_tensorflow(record, form, channels)
    assert (expected is None) == (channels == 1)
    np.testing.assert_array_equal(of_ours(record, form, channels), expected)


@pytest.mark.parametrize("encoded", [b"", b"GIF89a", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture_is_refused_by_both(encoded):
    record, form = record_of(encoded, 32, 40), formed("jpeg", 32, 40)
    assert of_ours(record, form, 3) is of_tensorflow(record, form, 3) is None


def test_raw_pixels_of_another_number_are_refused_by_both():
    record, form = record_of(bytes(100), 32, 40), formed("raw", 32, 40)
    assert of_ours(record, form, 3) is of_tensorflow(record, form, 3) is None
