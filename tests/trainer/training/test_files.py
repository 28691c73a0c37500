"""Files to predict on come out as the build would have stored them."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from preprocess.pictures.decode import decode as build_decode
from preprocess.shards.encode import resize
from tests.trainer import datasets
from trainer.data.decoding import decode_file
from trainer.data.picture_files import UnreadablePicture, file_pixels
from trainer.data.shaping import PictureShape, shaped


def noise(size, mode="RGB"):
    """Every pixel its own: a wrong weight or a place that is one off is seen."""
    width, height = size
    pixels = np.random.default_rng(size).integers(0, 256, (height, width, 3))
    return Image.fromarray(pixels.astype(np.uint8)).convert(mode)


def decoded(path, channels=3):
    return file_pixels(str(path), channels)


@given(
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    side=st.integers(1, 60),
    mode=st.sampled_from(["stretch", "pad", "crop"]),
)
@settings(max_examples=60)
def test_a_picture_is_resized_as_the_build_does(width, height, side, mode):
    """To one grey level: OpenCV rounds halves up and has cubic weights of 11 bits."""
    pixels = np.asarray(noise((width, height)))
    expected = resize(pixels, side, mode).astype(int)
    shape = PictureShape(side, side, 3, mode, mixed=False)
    # Both steps round, so where one axis shrinks and the other grows the second level is theirs.
    both = (width < side < height) or (height < side < width)
    found = shaped(pixels, shape).numpy().astype(int)
    assert np.abs(found - expected).max() <= (2 if both else 1)


def test_what_is_of_the_right_size_is_not_touched():
    pixels = np.asarray(noise((40, 30)))
    shape = PictureShape(30, 40, 3, "stretch", mixed=False)
    np.testing.assert_array_equal(shaped(pixels, shape), pixels)


@pytest.mark.parametrize("subsampling", [0, 2])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_jpeg_has_the_pixels_that_the_build_sees(tmp_path, mode, subsampling):
    path = tmp_path / "a.jpg"
    noise((50, 35), mode).save(path, quality=80, subsampling=subsampling)
    expected = build_decode(path.read_bytes()).image
    channels = expected.shape[-1]
    np.testing.assert_array_equal(decoded(path, channels), expected)
    np.testing.assert_array_equal(decode_file(path.read_bytes(), channels).numpy(), expected)


def transparent(mode):
    picture = noise((20, 10)).convert("RGBA")
    picture.putalpha(Image.fromarray(np.arange(200, dtype=np.uint8).reshape(10, 20)))
    return picture.convert(mode)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("a.png", lambda: transparent("RGBA")),
        ("a.png", lambda: transparent("LA")),
        ("a.png", lambda: noise((20, 10)).quantize(16)),
        ("a.png", lambda: noise((20, 10)).convert("1")),
        ("a.png", lambda: Image.fromarray(np.arange(0, 60000, 300, np.uint16).reshape(10, 20))),
        ("a.jpg", lambda: noise((20, 10)).convert("CMYK")),
        ("a.bmp", lambda: noise((20, 10))),
        ("a.gif", lambda: noise((20, 10))),
        ("a.webp", lambda: noise((20, 10))),
        ("a.tif", lambda: noise((20, 10))),
    ],
)
def test_other_kinds_have_the_pixels_that_the_build_sees(tmp_path, name, make):
    path = tmp_path / name
    make().save(path)
    expected = build_decode(path.read_bytes()).image
    np.testing.assert_array_equal(decoded(path, expected.shape[-1]), expected)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "L", "RGB", "P"])
def test_a_png_as_it_is_has_white_below_what_is_transparent(mode):
    """As an exported model gets it, decoded in the graph; rounding of the mixture is one level."""
    buffer = io.BytesIO()
    picture = transparent(mode) if mode in ("RGBA", "LA") else noise((20, 10)).convert(mode)
    picture.save(buffer, format="PNG")
    expected = build_decode(buffer.getvalue()).image.astype(int)
    found = decode_file(buffer.getvalue(), expected.shape[-1]).numpy().astype(int)
    assert np.abs(found - expected).max() <= (1 if mode in ("RGBA", "LA") else 0)


def test_exif_turns_a_picture_upright(tmp_path):
    """Orientation 6: the camera's left column is the picture's top row."""
    picture = noise((16, 8))
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(decoded(tmp_path / "a.png"), np.rot90(np.asarray(picture), -1))


def test_grey_is_repeated_to_colour_and_colour_becomes_grey(tmp_path):
    noise((24, 24), "L").save(tmp_path / "grey.png")
    colour = decoded(tmp_path / "grey.png", 3)
    grey = decoded(tmp_path / "grey.png", 1)
    np.testing.assert_array_equal(np.repeat(grey, 3, axis=2), colour)
    noise((24, 24)).save(tmp_path / "colour.png")
    expected = np.asarray(noise((24, 24), "L")).astype(int)[..., np.newaxis]
    # The weights of ITU-R 601 in libpng have 15 bits, in Pillow 16.
    assert np.abs(decoded(tmp_path / "colour.png", 1).astype(int) - expected).max() <= 1


def test_a_png_that_is_transparent_everywhere_has_its_colours(tmp_path):
    """An alpha channel that nobody filled in; the graph of an exported model agrees."""
    picture = noise((20, 10)).convert("RGBA")
    picture.putalpha(0)
    picture.save(tmp_path / "a.png")
    expected = np.asarray(noise((20, 10)))
    np.testing.assert_array_equal(decoded(tmp_path / "a.png"), expected)
    np.testing.assert_array_equal(
        decode_file((tmp_path / "a.png").read_bytes(), 3).numpy(), expected
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "zero bytes"),
        (b"text", "none of JPEG, PNG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "none of JPEG, PNG"),
        (b"\x89PNG\r\n\x1a\n", "no whole header|ends before"),
    ],
)
def test_a_file_that_is_no_picture_is_refused_with_a_reason(tmp_path, content, reason):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(UnreadablePicture, match=reason):
        file_pixels(str(path), 3)


def test_a_folder_and_a_missing_file_are_refused_in_words(tmp_path):
    with pytest.raises(UnreadablePicture, match="not a regular file"):
        file_pixels(str(tmp_path), 3)
    with pytest.raises(UnreadablePicture, match="No such file"):
        file_pixels(str(tmp_path / "a.png"), 3)


def test_a_cut_picture_that_has_to_be_turned_is_refused(tmp_path):
    path = tmp_path / "a.png"
    datasets.picture(True, 0).convert("RGBA").save(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UnreadablePicture):
        file_pixels(str(path), 3)
