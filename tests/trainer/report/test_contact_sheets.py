"""Contact sheets and the confusion matrix, pixel by pixel where it matters."""

import io

import numpy as np
import pytest
from PIL import Image, ImageColor

from trainer.report import style
from trainer.report.confusion import MOST_DRAWN, MOST_NUMBERED, confusion_figure
from trainer.report.contact_sheets import (
    ClassMistake,
    TripletMistake,
    augmented_batch,
    mistakes_sheet,
)
from trainer.report.sheet import CELL, png, to_rgb

RED, BLUE = (255, 0, 0), (0, 0, 255)


def plain(color, side=16):
    return np.full((side, side, 3), color, np.uint8)


def rows_with(sheet, color):
    return np.flatnonzero((sheet == np.array(color)).all(axis=2).any(axis=1))


def columns_with(sheet, color):
    return np.flatnonzero((sheet == np.array(color)).all(axis=2).any(axis=0))


def test_stored_pictures_are_above_and_the_device_ones_below():
    sheet = augmented_batch(np.stack([plain(RED)] * 3), np.stack([plain(BLUE)] * 3).astype("f4"))
    assert sheet.dtype == np.uint8
    assert rows_with(sheet, RED).max() < rows_with(sheet, BLUE).min()
    assert len(rows_with(sheet, RED)) == CELL
    assert len(columns_with(sheet, RED)) == 3 * CELL
    np.testing.assert_array_equal(columns_with(sheet, RED), columns_with(sheet, BLUE))


def test_a_long_batch_goes_on_in_further_bands():
    before = np.stack([plain(RED)] * 5)
    two, three = augmented_batch(before[:4], before[:4], 2), augmented_batch(before, before, 2)
    assert two.shape[1] == three.shape[1]
    assert len(rows_with(three, RED)) == 6 * CELL  # three bands of two rows
    assert len(rows_with(two, RED)) == 4 * CELL


def test_a_batch_of_unlike_numbers_is_refused():
    with pytest.raises(ValueError, match="3 pictures before and 2 after"):
        augmented_batch(np.zeros((3, 4, 4, 3), np.uint8), np.zeros((2, 4, 4, 3)))


def test_grey_and_out_of_range_and_nan_pixels_are_brought_to_rgb():
    """Values are clipped to 0..255 and rounded, NaN is black, grey is repeated."""
    grey = np.array([[[-5.0], [127.6]], [[300.0], [np.nan]]])
    expected = np.repeat(np.array([[[0], [128]], [[255], [0]]], np.uint8), 3, axis=2)
    np.testing.assert_array_equal(to_rgb(grey), expected)


def test_a_wide_picture_keeps_its_proportions():
    """32x16 in a cell of 128 becomes 128 wide and 64 high."""
    picture = np.full((16, 32, 3), RED, np.uint8)
    sheet = mistakes_sheet([ClassMistake(picture, "a", "b", 0.5)])
    assert len(rows_with(sheet, RED)) == CELL // 2
    assert len(columns_with(sheet, RED)) == CELL


@pytest.mark.parametrize(
    ("distances", "chosen"), [((0.1, 2, 2), 2), ((2, 0.1, 2), 1), ((2, 2, 0.1), 0)]
)
def test_the_model_chooses_the_picture_outside_its_closest_pair(distances, chosen):
    """Distances are of pairs 1-2, 1-3, 2-3: with 1-2 closest the third is the odd one."""
    item = TripletMistake([plain(RED)] * 3, (0.2, 0.5, 0.3), distances)
    assert item.chosen == chosen
    assert item.odd == 1


def test_the_odd_one_of_people_and_of_the_model_are_framed():
    item = TripletMistake([plain(RED)] * 3, (0.8, 0.1, 0.1), (0.1, 2, 2))
    sheet = mistakes_sheet([item])
    good = columns_with(sheet[:CELL], ImageColor.getrgb(style.GOOD))
    bad = columns_with(sheet[:CELL], ImageColor.getrgb(style.BAD))
    assert len(good) == len(bad) == CELL
    assert bad.min() - good.min() == 2 * (CELL + 2)  # the first picture, and the third


def test_names_of_any_length_and_script_fit():
    long, short = "угловатая пятнистость\n" * 9, "a"
    pictures = [plain(RED)] * 7
    sheet = mistakes_sheet([ClassMistake(each, long, long, 0.5) for each in pictures])
    same = mistakes_sheet([ClassMistake(each, short, short, 0.5) for each in pictures])
    assert sheet.shape == same.shape
    assert len(columns_with(sheet[: CELL + 8], RED)) == 6 * CELL
    # Nothing is written between two cells, where a name that was not cut would run on.
    gap = sheet[:, 8 + CELL : 8 + CELL + 8]
    assert (gap == np.array(ImageColor.getrgb(style.PAPER))).all()


def test_no_mistakes_is_said():
    sheet = mistakes_sheet([])
    assert (sheet != np.array(ImageColor.getrgb(style.PAPER))).any()


def test_a_sheet_survives_its_file():
    sheet = mistakes_sheet([ClassMistake(plain(RED), "a", "b", 0.5)])
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png(sheet)))), sheet)


def test_every_count_is_written_in_its_row_and_column():
    axes = confusion_figure([[0, 0, 5], [0, 1, 2], [1, 1, 7]], ["leaf", "rust"]).axes[0]
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert written == {(0, 0): "5", (1, 0): "2", (1, 1): "7"}  # (column, row); zeros stay empty
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["leaf", "rust"]


def test_cells_are_coloured_by_the_share_of_their_row():
    """A row of 5 and 15: a quarter and three quarters; a class without pictures stays 0."""
    axes = confusion_figure([[0, 0, 5], [0, 1, 15]], ["a", "b"]).axes[0]
    np.testing.assert_allclose(axes.images[0].get_array(), [[0.25, 0.75], [0, 0]])


def test_many_classes_are_not_numbered():
    size = MOST_NUMBERED + 1
    axes = confusion_figure([[0, 0, 1]], [str(at) for at in range(size)]).axes[0]
    assert not axes.texts


def test_of_very_many_classes_neighbours_share_a_row():
    """1,000 classes in 500 rows: the last two are the last row."""
    names = [str(at) for at in range(2 * MOST_DRAWN)]
    axes = confusion_figure([[998, 0, 3], [999, 1, 3], [999, 2, 6]], names).axes[0]
    shares = axes.images[0].get_array()
    assert shares.shape == (MOST_DRAWN, MOST_DRAWN)
    np.testing.assert_allclose(shares[-1, :3], [0.5, 0.5, 0])
    assert axes.get_xlabel() == "predicted, 1000 classes in 500 groups"
