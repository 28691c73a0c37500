from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocess.examine.contact_sheet import triplets_sheet, variants_sheet

RED, BLUE = (200, 0, 0), (0, 0, 200)


def flat(colour: tuple[int, ...], height: int = 10, width: int = 10) -> np.ndarray:
    return np.full((height, width, len(colour)), colour, np.uint8)


def count(sheet: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((sheet == np.array(colour, np.uint8)).all(axis=-1).sum())


def boxes_of(sheet: np.ndarray, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Top, bottom, left, right (inclusive) of what has this colour."""
    rows, columns = np.nonzero((sheet == np.array(colour, np.uint8)).all(axis=-1))
    return int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())


def test_rows_are_pictures_and_columns_variants() -> None:
    """A 10x10 flat picture fills its cell of 40x40; the second row lies below the first, the
    second column right of the first.
    """
    sheet = variants_sheet(
        [("a", [flat(RED), flat(BLUE)]), ("b", [flat((0, 90, 0))])], ["0", "1"], 40
    )
    assert (sheet.dtype, sheet.shape[2]) == (np.uint8, 3)
    assert count(sheet, RED) == count(sheet, BLUE) == count(sheet, (0, 90, 0)) == 1600
    red, blue, green = (boxes_of(sheet, c) for c in (RED, BLUE, (0, 90, 0)))
    assert red[:2] == blue[:2]
    assert red[3] < blue[2]
    assert red[2:] == green[2:]
    assert red[1] < green[0]


def test_pictures_keep_their_shape_and_grey_is_drawn_grey() -> None:
    """10 high and 20 wide in a cell of 40 is 20 x 40 pixels; a grey one has equal channels."""
    sheet = variants_sheet([("a", [flat(RED, 10, 20), flat((123,), 20, 10)])], ["0", "1"], 40)
    top, bottom, left, right = boxes_of(sheet, RED)
    assert (bottom - top + 1, right - left + 1) == (20, 40)
    assert count(sheet, (123, 123, 123)) >= 20 * 40


def test_more_pictures_than_columns_are_refused() -> None:
    with pytest.raises(ValueError, match="2 pictures in a row, but 1"):
        variants_sheet([("a", [flat(RED), flat(RED)])], ["0"])


def test_no_rows_still_give_a_header() -> None:
    assert variants_sheet([], ["variant 0"]).min() < 128


def test_cyrillic_is_drawn_with_letters_of_its_own() -> None:
    """A font without them would draw the same box for each letter."""
    picture = [flat(RED)]
    one, other = (variants_sheet([(t, picture)], ["0"]) for t in ("ЖЖЖ", "ООО"))
    assert one.shape == other.shape
    assert (one != other).any()


@pytest.mark.parametrize(
    "title",
    ["\n\n\n", "\x00\x1b[31m", "\u202egpj.exe", "\ud800", "x" * 100_000, "Z\u0301" * 5000, ""],
)
def test_hostile_titles_stay_in_their_line(title: str) -> None:
    """The sheet has the size it has with a harmless title, and differs from it at most in the
    title's strip: header line of 20 pixels, then the strip of 20.
    """
    rows = [("a", [flat(RED)]), (title, [flat(BLUE)])]
    calm = variants_sheet([("a", [flat(RED)]), ("b", [flat(BLUE)])], ["0"], 60)
    hostile = variants_sheet(rows, ["0"], 60)
    assert hostile.shape == calm.shape
    changed = np.nonzero((hostile != calm).any(axis=(1, 2)))[0]
    strip = 20 + 20 + 60 + 4
    assert ((strip <= changed) & (changed < strip + 20)).all()


@settings(max_examples=40)
@given(st.text(max_size=80), st.integers(1, 50), st.integers(1, 50), st.sampled_from([1, 3]))
def test_any_text_and_size_is_drawn(text: str, height: int, width: int, channels: int) -> None:
    picture = np.zeros((height, width, channels), np.uint8)
    sheet = variants_sheet([(text, [picture])], [text], 32)
    assert sheet.shape == (20 + 20 + 36 + 4, 36 + 4, 3)


def test_long_titles_keep_both_ends() -> None:
    """Two ids that differ in their last character only must not look the same."""
    long = "picture/" * 30
    one, other = (variants_sheet([(long + end, [flat(RED)])], ["0"]) for end in "AB")
    assert (one != other).any()


def frame_pixels(votes: list[float]) -> np.ndarray:
    """Pixels that a triplet's drawing has more of the frame's colour than one of equal votes."""
    pictures = [flat(RED), flat(BLUE), flat((0, 90, 0))]
    framed = triplets_sheet([(pictures, votes, "T")], 40)
    plain = triplets_sheet([(pictures, [0.34, 0.33, 0.33], "T")], 40)
    return np.nonzero((framed[:64] != plain[:64]).any(axis=(0, 2)))[0]  # above the votes' text


def test_the_odd_one_out_is_framed() -> None:
    """Cells of 40 with a gap of 4 start at 8, 52 and 96; a frame reaches 4 to each side."""
    for odd, left in enumerate((8, 52, 96)):
        votes = [0.2, 0.2, 0.2]
        votes[odd] = 0.6
        columns = frame_pixels(votes)
        assert (columns.min(), columns.max()) == (left - 4, left + 43)


def test_without_a_clear_vote_nothing_is_framed() -> None:
    assert frame_pixels([0.5, 0.5, 0.0]).size == 0


def test_triplets_stand_side_by_side_and_below() -> None:
    triplet = ([flat(RED)] * 3, [1.0, 0.0, 0.0], "ONE_CLASS_TRIPLET")
    one, two, three = (triplets_sheet([triplet] * n, 40, across=2) for n in (1, 2, 3))
    assert one.shape[0] == two.shape[0] < three.shape[0]
    assert one.shape[1] < two.shape[1] == three.shape[1]
    assert count(three, RED) == 9 * 1600


def test_incomplete_triplet_is_refused() -> None:
    with pytest.raises(ValueError, match="got 2 and 3"):
        triplets_sheet([([flat(RED)] * 2, [1.0, 0.0, 0.0], "")])
