"""Files to predict on come out as the build would have stored them."""

import numpy as np
import pytest
from PIL import Image

from preprocess.decode import decode
from preprocess.encode import resize
from tests.trainer import datasets
from trainer.reader.files import UnreadablePicture, load_picture


def gradient(size, mode="RGB"):
    """Smooth, so that two interpolations of the same kind differ by rounding only."""
    width, height = size
    x, y = np.meshgrid(np.linspace(0, 200, width), np.linspace(0, 200, height))
    pixels = np.stack([x, y, (x + y) / 2], -1)
    return Image.fromarray(pixels.astype(np.uint8)).convert(mode)


@pytest.mark.parametrize("mode", ["stretch", "pad", "crop"])
@pytest.mark.parametrize("size", [(64, 40), (20, 30), (100, 10), (32, 32)])
def test_a_picture_is_resized_as_the_build_does(tmp_path, mode, size):
    """Pillow's and OpenCV's cubic curves differ a little at the borders of what grows."""
    path = tmp_path / "a.png"
    gradient(size).save(path)
    expected = resize(decode(path.read_bytes()).image, 32, mode).astype(int)
    found = load_picture(str(path), (32, 32, 3), mode).astype(int)
    assert np.abs(found - expected).mean() < 1.5
    assert np.abs(found - expected)[2:-2, 2:-2].max() <= (4 if mode != "pad" else 40)


def test_what_is_transparent_is_white_and_16_bits_become_8(tmp_path):
    clear = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    clear.save(tmp_path / "clear.png")
    assert (load_picture(str(tmp_path / "clear.png"), (8, 8, 3), "stretch") == 255).all()
    deep = Image.fromarray(np.full((8, 8), 257 * 100, np.uint16))
    deep.save(tmp_path / "deep.png")
    assert (load_picture(str(tmp_path / "deep.png"), (8, 8, 1), "stretch") == 100).all()


def test_exif_turns_a_picture_upright(tmp_path):
    """Orientation 6: the camera's left column is the picture's top row."""
    picture = gradient((16, 8))
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "a.png", exif=exif)
    found = load_picture(str(tmp_path / "a.png"), (16, 8, 3), "stretch")
    np.testing.assert_array_equal(found, np.rot90(np.asarray(picture), -1))


def test_grey_and_colour_become_each_other(tmp_path):
    datasets.picture(True, 0).save(tmp_path / "colour.png")
    datasets.picture(True, 0).convert("L").save(tmp_path / "grey.png")
    grey = load_picture(str(tmp_path / "colour.png"), (24, 24, 1), "stretch")
    colour = load_picture(str(tmp_path / "grey.png"), (24, 24, 3), "stretch")
    np.testing.assert_array_equal(np.repeat(grey, 3, axis=2), colour)


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n"])
def test_a_file_that_is_no_picture_is_refused_with_a_reason(tmp_path, content):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(UnreadablePicture) as caught:
        load_picture(str(path), (8, 8, 3), "stretch")
    assert str(caught.value)


def test_a_cut_picture_is_refused(tmp_path):
    path = tmp_path / "a.png"
    datasets.picture(True, 0).save(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UnreadablePicture):
        load_picture(str(path), (8, 8, 3), "stretch")
