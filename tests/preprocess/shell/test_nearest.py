"""What is suggested for a name that does not exist."""

from __future__ import annotations

import pytest

from preprocess.shell.nearest import did_you_mean, nearest

NAMES = ("EfficientNetB0", "EfficientNetB1", "MobileNetV2")


@pytest.mark.parametrize("received", ["EficientNetB0", "efficientnetb0", "EFFICIENTNETB0"])
def test_names_are_found_whatever_their_case_and_given_as_they_are_spelt(received):
    assert nearest(received, NAMES) == ["EfficientNetB0"]


def test_as_many_as_asked_for_the_best_first():
    assert nearest("EfficientNetB1", NAMES, 2) == ["EfficientNetB1", "EfficientNetB0"]


@pytest.mark.parametrize("received", ["zebra", "", None, 3, ["MobileNetV2"]])
def test_nothing_is_suggested_for_what_is_like_nothing(received):
    assert nearest(received, NAMES) == []
    assert did_you_mean(received, NAMES) == ""


def test_a_suggestion_fits_into_the_middle_of_a_message():
    assert f"no such network{did_you_mean('MobilNet', NAMES)}; there are" == (
        "no such network (did you mean 'MobileNetV2'?); there are"
    )
