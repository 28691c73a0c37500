from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocess.pictures.decode import decode
from preprocess.shards.encode import RESIZE_MODES, encode, fit, resize


def noise(height: int, width: int, channels: int) -> np.ndarray:
    rng = np.random.default_rng([height, width, channels])
    return rng.integers(0, 256, (height, width, channels), np.uint8)


def smooth(height: int, width: int) -> np.ndarray:
    """Red grows to the right, green downwards, blue is constant: what JPEG keeps well."""
    red, green = np.meshgrid(np.linspace(20, 235, width), np.linspace(20, 235, height))
    return np.stack([red, green, np.full_like(red, 40)], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_png_gives_every_pixel_back(channels: int) -> None:
    image = noise(13, 7, channels)
    decoded = decode(encode(image, "png", 95))
    np.testing.assert_array_equal(decoded.image, image)
    assert decoded.encoding == "png"
    assert decoded.verbatim


def test_jpeg_keeps_colours_in_their_channels() -> None:
    image = smooth(64, 96)
    decoded = decode(encode(image, "jpeg", 95))
    assert np.abs(decoded.image.astype(int) - image).mean() < 2
    assert decoded.encoding == "jpeg"
    assert decoded.verbatim


def test_grey_jpeg_stays_grey() -> None:
    image = smooth(16, 24)[:, :, :1]
    decoded = decode(encode(image, "jpeg", 95))
    assert decoded.image.shape == (16, 24, 1)
    assert np.abs(decoded.image.astype(int) - image).mean() < 2


def test_raw_is_row_major() -> None:
    """Two rows of one RGB pixel are six bytes in reading order."""
    assert encode(np.array([[[1, 2, 3]], [[4, 5, 6]]], np.uint8), "raw", 0) == bytes(range(1, 7))


def test_jpeg_halves_chroma_and_follows_quality() -> None:
    """The frame header (0xFFC0: length 2, depth 1, height 2, width 2, components 1, then id,
    sampling) has sampling 0x22 for the luma of 4:2:0.
    """
    image = noise(32, 32, 3)
    data = encode(image, "jpeg", 95)
    frame = data.index(b"\xff\xc0")
    assert data[frame + 11] == 0x22
    assert len(encode(image, "jpeg", 50)) < len(data)


@pytest.mark.parametrize("encoding", ["jpeg", "png", "raw"])
def test_a_view_encodes_like_its_copy(encoding: str) -> None:
    view = noise(20, 30, 3)[::2, ::-1]
    assert not view.flags.c_contiguous
    assert encode(view, encoding, 90) == encode(view.copy(), encoding, 90)


@pytest.mark.parametrize(
    ("image", "encoding", "quality", "named"),
    [
        (noise(4, 4, 3), "webp", 90, "webp"),
        (noise(4, 4, 3), "jpeg", 0, "got 0"),
        (noise(4, 4, 3), "jpeg", 101, "got 101"),
        (noise(4, 4, 3)[:, :, 0], "png", 90, r"uint8\[4, 4\]"),
        (noise(4, 4, 3).astype(np.float32), "png", 90, "float32"),
        (np.zeros((0, 4, 3), np.uint8), "png", 90, "non-empty"),
    ],
)
def test_what_cannot_be_encoded_is_named(
    image: np.ndarray, encoding: str, quality: int, named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        encode(image, encoding, quality)


@settings(max_examples=120)
@given(
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    channels=st.sampled_from([1, 3]),
    size=st.integers(1, 70),
    mode=st.sampled_from(RESIZE_MODES),
    value=st.integers(1, 255),
)
def test_any_picture_becomes_a_square_and_a_flat_one_stays_flat(
    height: int, width: int, channels: int, size: int, mode: str, value: int
) -> None:
    result = resize(np.full((height, width, channels), value, np.uint8), size, mode)
    assert result.shape == (size, size, channels)
    assert result.dtype == np.uint8
    allowed = {0, value} if mode == "pad" else {value}
    assert set(np.unique(result).tolist()) <= allowed
    assert value in result


@pytest.mark.parametrize("mode", RESIZE_MODES)
def test_the_right_size_changes_nothing(mode: str) -> None:
    image = noise(32, 32, 3)
    np.testing.assert_array_equal(resize(image, 32, mode), image)


def test_shrinking_averages_areas() -> None:
    """2x2 blocks (0, 100 / 200, 100) average to 100; picking or interpolating one would not."""
    block = np.array([[0, 100], [200, 100]], np.uint8)
    image = np.tile(block, (4, 4))[:, :, None]
    assert (resize(image, 4, "stretch") == 100).all()


def test_shrinking_one_axis_averages_though_the_other_grows() -> None:
    """Stripes of 0 and 200, one pixel wide, 64 of them into 8 columns: all 100. Four rows grow
    to eight. Sampling instead of averaging would give 0 or 200 somewhere.
    """
    image = np.tile(np.array([0, 200], np.uint8), (4, 32))[:, :, None]
    assert (resize(image, 8, "stretch") == 100).all()


def test_pad_centres_the_whole_picture_on_black() -> None:
    """10 wide, 4 high into 10: scale 1, three black rows above and below."""
    image = noise(4, 10, 3)
    result = resize(image, 10, "pad")
    np.testing.assert_array_equal(result[3:7], image)
    assert result[:3].max() == result[7:].max() == 0


def test_crop_takes_the_centre() -> None:
    image = noise(4, 10, 3)
    np.testing.assert_array_equal(resize(image, 4, "crop"), image[:, 3:7])


def test_fit_keeps_the_aspect_ratio() -> None:
    assert fit(noise(50, 100, 3), 40).shape == (20, 40, 3)
    assert fit(noise(100, 50, 1), 40).shape == (40, 20, 1)
    assert fit(noise(1, 1000, 3), 10).shape == (1, 10, 3)


def test_unknown_mode_and_empty_size_are_named() -> None:
    with pytest.raises(ValueError, match="squash"):
        resize(noise(4, 4, 3), 8, "squash")
    with pytest.raises(ValueError, match="got 0"):
        resize(noise(4, 4, 3), 0, "crop")
