"""Curves: what is drawn where, what intervals look like, and what gaps do."""

import io
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from trainer.monitoring.metric_rows import accuracy_name, prefixes
from trainer.report.curves import curves, split_label
from trainer.report.history import history_figure, parts_figure, save
from trainer.report.overfitting import reading
from trainer.report.style import figure_png


def rows(count: int = 6) -> list[dict]:
    """A falling loss, a rising accuracy with intervals, and a second split `hard`."""
    made = []
    for epoch in range(1, count + 1):
        accuracy = 0.4 + 0.02 * epoch
        made.append(
            {
                "epoch": epoch,
                "step": 10 * epoch,
                "loss": 1 / epoch,
                "triplet_accuracy": accuracy,
                "triplet_accuracy_interval": [accuracy - 0.02, accuracy + 0.02],
                "val_loss": 1.2 / epoch,
                "val_triplet_accuracy": accuracy - 0.05,
                "val_triplet_accuracy_interval": [accuracy - 0.1, accuracy],
                "val_hard_loss": 1.5 / epoch,
                "val_hard_triplet_accuracy": accuracy - 0.1,
                "val_hard_triplet_accuracy_interval": [accuracy - 0.2, accuracy],
                "learning_rate": 1e-3,
            }
        )
    return made


def axes_named(figure, title: str):
    return next(axes for axes in figure.axes if axes.get_title(loc="left") == title)


def line_named(axes, label: str):
    return next(line for line in axes.lines if line.get_label() == label)


def test_training_is_drawn_half_an_epoch_to_the_left():
    """An average over epoch e lies at e - 1/2, a measurement at its end at e."""
    figure = history_figure(rows(3), "run")
    for title in ("Loss", "Triplet accuracy"):
        axes = axes_named(figure, title)
        np.testing.assert_array_equal(line_named(axes, "training").get_xdata(), [0.5, 1.5, 2.5])
        np.testing.assert_array_equal(line_named(axes, "validation").get_xdata(), [1, 2, 3])
        np.testing.assert_array_equal(line_named(axes, "hard").get_xdata(), [1, 2, 3])


def test_the_values_drawn_are_those_of_the_rows():
    axes = axes_named(history_figure(rows(3), "run"), "Loss")
    np.testing.assert_allclose(line_named(axes, "validation").get_ydata(), [1.2, 0.6, 0.4])


def test_loss_and_learning_rate_and_epochs_are_on_log_axes():
    figure = history_figure(rows(), "run")
    assert axes_named(figure, "Loss").get_yscale() == "log"
    assert axes_named(figure, "Learning rate").get_yscale() == "log"
    assert {axes.get_xscale() for axes in figure.axes} == {"log"}


@pytest.mark.parametrize("rate", [1e-3, 3e-4, 0.01875])
def test_a_constant_rate_has_one_label_its_own(rate):
    history = [{**row, "learning_rate": rate} for row in rows()]
    axes = axes_named(history_figure(history, "run"), "Learning rate")
    axes.figure.canvas.draw()
    assert [label.get_text() for label in axes.get_yticklabels()] == [f"{rate:g}"]
    assert list(axes.yaxis.get_minorticklocs()) == []


def test_the_first_validation_split_is_called_by_its_name():
    axes = axes_named(history_figure(rows(), "run", "test"), "Loss")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "training",
        "test",
        "hard",
    ]


def test_every_accuracy_is_shaded_by_its_interval():
    axes = axes_named(history_figure(rows(), "run"), "Triplet accuracy")
    tops = [band.get_paths()[0].vertices[:, 1].max() for band in axes.collections]
    np.testing.assert_allclose(tops, [0.54, 0.52, 0.52])  # 0.4 + 0.02 * 6, and + 0.02 in training


def test_the_interval_of_a_single_epoch_is_a_bar():
    """A band between one point and itself has no area: the bar is what can be seen."""
    axes = axes_named(history_figure(rows(1), "run"), "Triplet accuracy")
    bars = [path for bar in axes.containers for path in bar[2][0].get_paths()]
    spans = [tuple(path.vertices[:, 1]) for path in bars]
    np.testing.assert_allclose(spans, [(0.40, 0.44), (0.32, 0.42), (0.22, 0.42)])


def test_an_accuracy_has_a_line_at_chance_where_that_is_known():
    def levels(history, chance):
        name = "Triplet accuracy" if "triplet_accuracy" in history[0] else "Accuracy"
        axes = axes_named(history_figure(history, "run", chance=chance), name)
        return [line.get_ydata()[0] for line in axes.lines if len(set(line.get_ydata())) == 1]

    classes = [{key.replace("triplet_", ""): value for key, value in row.items()} for row in rows()]
    assert levels(rows(), 1 / 3) == [pytest.approx(1 / 3)]
    assert levels(classes, None) == []


def test_a_zero_on_a_log_axis_is_an_arrow_on_its_floor():
    history = rows(4)
    history[2]["loss"] = 0.0
    axes = axes_named(history_figure(history, "run"), "Loss")
    assert math.isnan(line_named(axes, "training").get_ydata()[2])
    (arrow,) = [line for line in axes.lines if line.get_marker() == "v"]
    assert list(arrow.get_xdata()) == [2.5]


def test_losses_that_are_all_zero_do_without_a_log_axis():
    axes = axes_named(history_figure([{"epoch": 1, "loss": 0.0}], "run"), "Loss")
    assert axes.get_yscale() == "linear"


def test_a_dollar_in_a_name_is_no_mathematics():
    history = rows(2)
    for row in history:
        row["val_a$b$_loss"] = 1.0
    figure_png(history_figure(history, "cost $\\frac in $"))


@settings(max_examples=8)
@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                name: st.sampled_from([None, math.nan, math.inf, 0.0, 1e-12, 0.5, 3])
                for name in ("loss", "val_loss", "accuracy", "val_accuracy", "learning_rate")
            }
            | {"val_accuracy_interval": st.sampled_from([None, [None, None], [0.1, 0.7]])},
        ),
        max_size=4,
    )
)
def test_any_gaps_are_drawn_around(history):
    history = [{"epoch": at + 1, **row} for at, row in enumerate(history)]
    assert figure_png(history_figure(history, "run")).startswith(b"\x89PNG")


def test_the_same_history_gives_the_same_file(tmp_path):
    for name in ("a.png", "b.png"):
        save(rows(), "run", tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert Image.open(io.BytesIO((tmp_path / "a.png").read_bytes())).width == 1440  # 10 in, 144 dpi
    assert len(list(tmp_path.iterdir())) == 2


def test_splits_are_found_by_their_metrics():
    assert prefixes(rows()) == ["", "val_", "val_hard_"]
    assert [split_label(prefix) for prefix in prefixes(rows())] == [
        "training",
        "validation",
        "hard",
    ]
    assert accuracy_name(rows()) == "triplet_accuracy"
    assert accuracy_name([{"val_accuracy": 0.5}]) == "accuracy"


def test_a_split_without_any_value_is_no_curve():
    history = [{"epoch": 1, "loss": 1.0, "val_loss": None}]
    assert [curve.label for curve in curves(history, "loss")] == ["training"]


def losses(training, validation):
    pairs = enumerate(zip(training, validation, strict=True))
    return [{"epoch": at + 1, "loss": t, "val_loss": v} for at, (t, v) in pairs]


@pytest.mark.parametrize(
    ("training", "validation", "words"),
    [
        # lowest at epoch 2; the median of 1.3 and 1.5 is 1.4, a sixth more; training falls on
        ([3, 2, 1, 0.5], [1.5, 1.2, 1.3, 1.5], ["Over-fitting", "epoch 2", "17%", "3 to 4"]),
        # one epoch that leaps after many on a level
        ([5, 4, 3.9, 3.8, 3.7], [1.5, 1.0, 1.01, 1.02, 2.0], ["levelled off", "epoch 2"]),
        # both rise: the step is too long
        ([1, 2, 3], [1, 2, 3], ["learning rate"]),
        # a rise of 4 % is below the threshold of 5 %
        ([3, 2, 1], [1.5, 1.0, 1.04], ["levelled off", "epoch 2"]),
        ([3, 2, 1], [1.5, 1.0, 1.06], ["Over-fitting"]),
        ([3, 2, 1], [3, 2, 1], ["still falling", "more epochs"]),
        # training falls on from 2 to the median 1.0 of the last three; at 1.7 it is below a fifth
        ([3, 2, 1.5, 1, 0.5], [1.5, 1, 1.01, 1.02, 1.01], ["without harm", "epoch 2", "50%"]),
        ([3, 2, 1.8, 1.7, 1.6], [1.5, 1, 1.01, 1.02, 1.01], ["levelled off", "no over-fitting"]),
        # the last is not the lowest, but the last three lie below the three before them
        ([6, 5, 4, 3, 2, 1], [1.0, 0.9, 0.85, 0.75, 0.72, 0.74], ["still falling", "epoch 6"]),
        ([6, 5.9, 5.8, 5.7, 5.6, 5.5], [1.0, 0.9, 0.7, 0.72, 0.71, 0.71], ["levelled off"]),
        # a fall of half a per cent over the last three epochs is none
        ([3, 2, 1], [1.0, 0.999, 0.995], ["levelled off"]),
        ([3, 2], [3, 2], ["Too few epochs", "(2)"]),
        ([3, 2, 1], [3, None, math.nan], ["Too few epochs", "(1)"]),
    ],
)
def test_over_fitting_is_read_from_the_curves(training, validation, words):
    text = reading(losses(training, validation))
    for word in words:
        assert word in text
    assert ("Over-fitting:" in text) == ("Over-fitting" in words)


@pytest.mark.parametrize(
    ("accuracies", "words"),
    [
        ([0.5, 0.6, 0.7, 0.7], "did not fall with it (60.0 % then, 70.0 % now)"),
        ([0.5, 0.6, 0.5, 0.5], "fell too (60.0 % then, 50.0 % now)"),
        ([None] * 4, "kept falling. Stop earlier"),
    ],
)
def test_over_fitting_says_what_the_accuracy_did(accuracies, words):
    """The loss is lowest at epoch 2; the accuracy of the epochs after it by their median."""
    history = losses([3, 2, 1, 0.5], [1.5, 1.2, 1.3, 1.5])
    for row, accuracy in zip(history, accuracies, strict=True):
        row["val_accuracy"] = accuracy
    assert words in reading(history).replace("\N{NO-BREAK SPACE}", " ")


def test_the_loss_of_a_part_is_no_split_and_has_axes_of_its_own():
    history = []
    for row in rows(4):
        of_parts = {"class_loss": row["loss"], "r2": 0.5}
        of_splits = {
            f"{prefix}{name}": value - 0.1
            for prefix in ("val_", "val_hard_")
            for name, value in of_parts.items()
        }
        history.append({**row, **of_parts, **of_splits})
    within = {name: value for name, value in history[0].items() if name.startswith("val_")}
    for part in (history, [within]):
        assert prefixes(part) == ["", "val_", "val_hard_"]
    figure = parts_figure(history, ("class_loss", "r2"), "easy")
    for title, last in (("Class loss", 0.15), ("R2", 0.4)):
        axes = axes_named(figure, title)
        assert [line.get_label() for line in axes.lines] == ["training", "easy", "hard"]
        assert line_named(axes, "hard").get_ydata()[-1] == pytest.approx(last)
    assert figure_png(figure)
