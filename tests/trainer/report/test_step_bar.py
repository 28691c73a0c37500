"""The bar of a step: which parts, in which order, how wide, what the key says."""

import math

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from trainer.report.step_bar import COLORS, step_bar_figure, step_shares
from trainer.report.style import figure_png

STAGES = (
    "storage",
    "parse",
    "decode",
    "host_map",
    "table",
    "transfer",
    "device_preprocess",
    "model",
    "collective",
    "host_overhead",
)


def drawn(shares, step_ms=100.0):
    """(widths from left to right, texts of the key) of a figure."""
    figure = step_bar_figure(shares, step_ms)
    bar, key = figure.axes
    patches = [patch for patch in bar.patches if isinstance(patch, Rectangle)]
    lefts = [patch.get_x() for patch in patches]
    assert lefts == sorted(lefts)
    return [patch.get_width() for patch in patches], [text.get_text() for text in key.texts]


def test_stages_are_in_the_order_of_a_step_whatever_the_order_they_come_in():
    """Shares 1/55 to 10/55, given backwards."""
    shares = {name: (at + 1) / 55 for at, name in enumerate(STAGES)}
    widths, key = drawn(dict(reversed(shares.items())))
    assert widths == pytest.approx([(at + 1) / 55 for at in range(10)])
    assert tuple(key[::2]) == STAGES


def test_the_key_has_per_cent_and_milliseconds():
    """31.25 % of 40 ms are 12.5 ms, 68.75 % are 27.5 ms; 0.25 % of 1,000 ms are 2.5 ms."""
    assert drawn({"model": 0.6875, "decode": 0.3125}, 40.0)[1] == [
        "decode", "31.2 %  12.5 ms", "model", "68.8 %  27.5 ms",
    ]  # fmt: skip
    assert drawn({"model": 0.9975, "parse": 0.0025}, 1000.0)[1][1] == "0.2 %  2.50 ms"


def test_without_a_known_time_the_key_has_per_cent_only():
    assert drawn({"model": 1.0}, math.nan)[1] == ["model", "100.0 %"]


def test_what_is_not_measured_is_a_rest_and_too_much_is_scaled():
    widths, key = drawn({"model": 0.5, "decode": None, "parse": 0.0, "table": math.nan})
    assert widths == pytest.approx([0.5, 0.5])
    assert key[::2] == ["model", "not measured"]
    assert drawn({"model": 1.0, "decode": 1.0})[0] == pytest.approx([0.5, 0.5])
    assert drawn({"model": 0.9951})[1][::2] == ["model"]


def test_a_hostile_name_is_text_and_no_mathematics():
    name = "$\\frac{1}{0}$ <script>alert(1)</script>"
    figure = step_bar_figure({name: 1.0}, 1.0)
    (label, _) = (text.get_text() for text in figure.axes[1].texts)
    assert label.startswith(r"\$\frac") and len(label) < len(name)
    assert figure_png(figure).startswith(b"\x89PNG")  # mathematics that cannot be would raise


@pytest.mark.parametrize("shares", [{}, {"model": None}])
def test_nothing_known_is_an_empty_figure_and_no_fault(shares):
    assert drawn(shares) == ([], [])
    assert figure_png(step_bar_figure(shares, math.nan))


def test_neighbours_differ_in_lightness():
    """Apart for eyes that see no colours too: at least 5 of 100 in L* (CIE 1976)."""

    def lightness(color):
        parts = np.array([int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)])
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        luminance = linear @ [0.2126, 0.7152, 0.0722]
        return 116 * luminance ** (1 / 3) - 16

    for parts in (STAGES, ("waiting for input", "the step", "Python between")):
        values = [lightness(COLORS[name]) for name in parts]
        assert (np.abs(np.diff(values)) >= 5).all(), values


HISTORY = [
    {"input_wait_fraction": 0.9, "host_fraction": 0.1},
    {"input_wait_fraction": 0.2, "host_fraction": 0.05},
    {"input_wait_fraction": 0.4, "host_fraction": 0.15},
]


def test_shares_by_stage_win_over_the_loops_own():
    found = step_shares({"shares": {"model": 0.7, "decode": 0.3, "table": None}}, HISTORY)
    assert found == {"model": 0.7, "decode": 0.3}


@pytest.mark.parametrize("shares", [None, {}, {"model": None}])
def test_the_loops_parts_are_medians_after_the_first_epoch(shares):
    """0.2 and 0.4 are 0.3, 0.05 and 0.15 are 0.1: the step has 0.6."""
    found = step_shares({"shares": shares}, HISTORY)
    assert found == pytest.approx(
        {"waiting for input": 0.3, "the step": 0.6, "Python between": 0.1}
    )


@pytest.mark.parametrize(
    "history", [[], [{}], [{"input_wait_fraction": None, "host_fraction": 0.1}]]
)
def test_what_the_loop_could_not_tell_apart_is_not_drawn(history):
    assert step_shares({}, history) == {}
