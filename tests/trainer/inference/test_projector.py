"""The projector's files: sizes a browser bears, names that cannot break the table."""

import numpy as np
import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tensorboard.plugins import projector as plugin

from trainer.inference import projector
from trainer.inference.projector import (
    MAX_NUMBERS,
    MAX_POINTS,
    MAX_SHEET,
    SPRITE,
    chosen_points,
    metadata,
    sheet_layout,
    sprite,
    sprite_sheet,
    write_projector,
)


@pytest.mark.parametrize("count", [1, 2, MAX_POINTS, MAX_POINTS + 1, 1_000_000])
@pytest.mark.parametrize("dimensions", [1, 16, 1280])
def test_points_are_all_or_as_many_as_a_browser_bears_first_and_last_included(count, dimensions):
    chosen = chosen_points(count, dimensions)
    assert chosen[0] == 0 and chosen[-1] == count - 1
    assert (np.diff(chosen) > 0).all()
    assert len(chosen) == min(count, MAX_POINTS, MAX_NUMBERS // dimensions)


@pytest.mark.parametrize("count", [1, 2, 5, 9, 10])
def test_sprite_n_lies_in_row_major_order(count):
    colors = np.random.default_rng(count).integers(0, 256, (count, 3), dtype=np.uint8)
    sheet, side = sprite_sheet(
        [np.broadcast_to(color, (SPRITE, SPRITE, 3)).astype(np.uint8) for color in colors]
    )
    assert side == SPRITE and sheet.shape[0] == sheet.shape[1]
    across = sheet.shape[1] // side
    for number, color in enumerate(colors):
        top, left = number // across * side, number % across * side
        assert (sheet[top : top + side, left : left + side] == color).all()


@pytest.mark.parametrize("count", [1, MAX_POINTS, 40_000, 10**7])
def test_a_sheet_has_room_for_all_and_stays_within_what_graphics_cards_take(count):
    across, side = sheet_layout(count)
    assert across**2 >= count
    assert across * side <= MAX_SHEET
    assert side == SPRITE or count > MAX_POINTS


def test_sprites_are_reduced_where_there_is_no_room(monkeypatch):
    """Two a row on a sheet of 16 pixels: 8 each."""
    monkeypatch.setattr(projector, "MAX_SHEET", 16)
    pictures = [np.full((SPRITE, SPRITE, 3), color, np.uint8) for color in (10, 20, 30)]
    sheet, side = sprite_sheet(pictures)
    assert side == 8 and sheet.shape == (16, 16, 3)
    assert (sheet[8:, :8] == 30).all() and (sheet[8:, 8:] == 0).all()


@pytest.mark.parametrize("shape", [(100, 50, 3), (28, 28, 1), (1, 300, 3)])
def test_a_sprite_keeps_the_sides_in_proportion(shape):
    found = sprite(np.full(shape, 255, np.uint8))
    assert found.shape == (SPRITE, SPRITE, 3)
    height, width = shape[:2]
    scale = min(1, SPRITE / max(height, width))
    filled = found.any(axis=2)
    assert filled.any(axis=1).sum() == max(1, round(height * scale))
    assert filled.any(axis=0).sum() == max(1, round(width * scale))


@given(st.lists(st.tuples(st.text(), st.text()), min_size=1))
def test_metadata_has_a_line_a_point_and_a_field_a_column_whatever_the_names(names):
    text = metadata({"id": [a for a, _ in names], "label": [b for _, b in names]})
    lines = text.split("\n")
    assert lines.pop() == ""
    assert lines[0] == "id\tlabel"
    assert len(lines) == len(names) + 1
    assert all(line.count("\t") == 1 and all(line.split("\t")) for line in lines)
    assert text.splitlines() == lines  # no separator of any alphabet
    assert "<" not in text


def test_a_single_column_has_no_header():
    """As the projector wants it: there it would be a point too many."""
    assert metadata({"id": ["a", "b"]}) == "a\nb\n"


def test_tensorboard_reads_what_is_written_and_an_earlier_one_is_replaced(tmp_path):
    rows = np.array([[0.0, 1.5], [-1e-7, 3e8], [1, 2]], np.float32)
    pictures = [np.zeros((SPRITE, SPRITE, 3), np.uint8)] * 3
    folder = write_projector(tmp_path, "first", rows[:1], {"id": ["x"]}, pictures[:1])
    (folder / "left over").touch()
    assert write_projector(tmp_path, "name", rows, {"id": list("abc")}, pictures) == folder
    assert [path.name for path in tmp_path.iterdir()] == [projector.FOLDER]
    config = text_format.Parse(
        (folder / "projector_config.pbtxt").read_text(), plugin.ProjectorConfig()
    )
    (embedding,) = config.embeddings
    read = np.loadtxt(folder / embedding.tensor_path, np.float32, delimiter="\t")
    np.testing.assert_allclose(read, rows, rtol=1e-5)
    assert (folder / embedding.metadata_path).read_text() == "a\nb\nc\n"
    width, height = Image.open(folder / embedding.sprite.image_path).size
    assert (width, height) == tuple(2 * side for side in embedding.sprite.single_image_dim)
    assert len(list(folder.glob("events.*"))) == 1
    assert not (folder / "left over").exists()
