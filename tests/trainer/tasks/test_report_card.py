"""The report card: rows that add up, bins whose borders hold, words that follow the intervals."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from trainer.metrics import wilson_interval
from trainer.report import style
from trainer.tasks.triplet_card import REFERENCES, report_card
from trainer.tasks.triplet_card_figure import card_figure, words

# The second picture is the odd one: d(1,3) is the smallest of d(1,2), d(1,3), d(2,3).
RIGHT, WRONG = [2.0, 1.0, 2.0], [1.0, 2.0, 2.0]


def votes(share):
    """The second picture is called odd by this share, the others by half the rest each."""
    return [(1 - share) / 2, share, (1 - share) / 2]


def card(*triplets):
    """(right?, share of votes, type) each."""
    distances = np.array([RIGHT if right else WRONG for right, _, _ in triplets])
    shares = np.array([votes(share) for _, share, _ in triplets], np.float32)
    return report_card(distances, shares, [kind for _, _, kind in triplets])


def plain(lines):
    return " ".join(lines).replace("\N{NO-BREAK SPACE}", " ")


def test_rows_by_type_and_by_agreement_have_count_and_interval():
    """Three of ONE count, two right; TWO has one, wrong; a share of 0.5 is no majority."""
    found = card(
        (True, 4 / 6, "ONE"),
        (True, 5 / 6, "ONE"),
        (False, 1.0, "ONE"),
        (False, 5 / 6, "TWO"),
        (True, 0.5, "TWO"),
        (True, 0.4, "THREE"),
    )
    assert found["overall"]["counted"] == 4 and found["overall"]["right"] == 2
    assert found["without_majority"] == 2
    one, two = found["by_type"]  # THREE has none that counts
    assert (one["name"], one["counted"], one["right"]) == ("ONE", 3, 2)
    assert one["interval"] == list(wilson_interval(2, 3))
    assert (two["name"], two["accuracy"]) == ("TWO", 0.0)
    bins = [
        (row["above"], row["to"], row["right"], row["counted"]) for row in found["by_agreement"]
    ]
    assert bins == [(0.6, 0.7, 1, 1), (0.8, 0.9, 1, 2), (0.9, 1.0, 0, 1)]


def test_a_share_on_a_border_belongs_below_it_whatever_its_rounding():
    """0.7 in float32, made up of parts, lies on either side of 0.7."""
    shares = np.nextafter(np.float32(0.7), np.float32([0, 1]))
    for share in (*shares, 0.7):
        (row,) = card((True, share, ""))["by_agreement"]
        assert (row["above"], row["to"]) == (0.6, 0.7)


@given(
    st.lists(
        st.tuples(
            st.booleans(), st.floats(0.34, 1.0), st.sampled_from(["", "ONE", "TWO", "THREE"])
        ),
        min_size=1,
        max_size=60,
    )
)
@settings(max_examples=40)
def test_types_and_bins_each_add_up_to_the_whole(triplets):
    found = card(*triplets)
    for rows in (found["by_type"], found["by_agreement"]):
        for column in ("counted", "right"):
            assert sum(row[column] for row in rows) == found["overall"][column]
    assert found["overall"]["counted"] + found["without_majority"] == len(triplets)


def test_references_say_what_they_were_measured_on():
    assert [each.accuracy for each in REFERENCES] == [1 / 3, 0.818, 0.862]
    told = plain(words(card((True, 1.0, ""))))
    assert "chance 33.3 %" in told
    assert "FECNet 81.8 % on the whole FEC test set" in told
    assert "people 86.2 % on the whole FEC test set" in told


def test_words_name_a_difference_only_where_the_intervals_are_apart():
    """40 of 40 against 0 of 40 are apart; 1 of 1 against 0 of 1 are not."""
    told = plain(words(card(*[(True, 0.65, "ONE")] * 40, *[(False, 1.0, "TWO")] * 40)))
    assert "best on ONE 100.0 %" in told and "worst on TWO 0.0 %" in told
    assert "less often right where annotators agree more" in told
    told = plain(words(card(*[(False, 0.65, "ONE")] * 40, *[(True, 1.0, "ONE")] * 40)))
    assert "The more annotators agree, the more often the model is right" in told
    told = plain(words(card((True, 0.65, "ONE"), (False, 1.0, "TWO"))))
    assert told.count("no difference beyond the intervals") == 2
    assert "so there is no accuracy" in plain(words(card((True, 0.4, "ONE"))))


@pytest.mark.parametrize("kind", ["$x$_TYPE", "T" * 200, ""])
def test_the_figure_takes_any_name_and_no_triplet_at_all(kind):
    for triplets in ([(True, 0.65, kind), (False, 1.0, "TWO")], [(True, 0.4, kind)]):
        picture = Image.open(io.BytesIO(style.figure_png(card_figure(card(*triplets)))))
        assert picture.width == 9.5 * style.DPI
