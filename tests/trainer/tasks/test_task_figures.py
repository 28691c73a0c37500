"""Figures of each task against plain loops, and averages of runs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocess.shell.errors import DataError
from tests.trainer import datasets
from trainer.tasks.outputs import Outputs, softmax
from trainer.tasks.task import make_task
from trainer.tasks.triplets import squared_distances

CLASSES = ("bright", "dark")


def outputs_of(values, targets):
    values = np.asarray(values, np.float64)
    return Outputs(values, np.asarray(targets), np.arange(len(values)))


def triplets():
    return make_task(datasets.configuration(datasets.TRIPLET))


def classes():
    return make_task(datasets.configuration(datasets.CLASSIFICATION), CLASSES)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_the_triplet_loss_is_that_of_the_definition(seed):
    """h(far; n1, n2) = max(0, d(n1,n2) - d(n1,far) + delta) + max(0, d(n1,n2) - d(n2,far) + delta),
    weighted by the votes for `far`, one triplet and one picture after another.
    """
    rng = np.random.default_rng(seed)
    embeddings, votes = rng.normal(size=(5, 3, 4)), rng.dirichlet(np.ones(3), 5)
    expected = []
    for points, shares in zip(embeddings, votes, strict=True):
        total = 0.0
        for far in range(3):
            one, two = [points[i] for i in range(3) if i != far]
            near = ((one - two) ** 2).sum()
            for point in (one, two):
                total += shares[far] * max(0.0, near - ((point - points[far]) ** 2).sum() + 0.5)
        expected.append(total)
    found = triplets().losses(outputs_of(squared_distances(embeddings), votes))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_triplet_figures_count_the_clear_ones_only():
    """Distances (12, 13, 23). 1: face1 is odd, 23 is the closest: right. 2: face1 is odd, 12 is
    the closest: wrong. 3: no vote above 0.5, left out. 4: a tie is not right.
    """
    values = [[2, 2, 1], [1, 2, 2], [2, 2, 1], [1, 1, 1]]
    votes = [[0.8, 0.1, 0.1], [0.8, 0.1, 0.1], [0.4, 0.3, 0.3], [0.6, 0.2, 0.2]]
    found = triplets().figures(outputs_of(values, votes))
    assert found["counted"] == 3
    assert found["triplet_accuracy"] == pytest.approx(1 / 3)
    low, high = found["interval"]
    assert 0 < low < 1 / 3 < high < 1


def test_where_no_triplet_is_clear_there_is_no_accuracy():
    found = triplets().figures(outputs_of([[1, 2, 3]], [[0.4, 0.3, 0.3]]))
    assert found["triplet_accuracy"] is None and found["interval"] is None
    assert np.isfinite(found["loss"])


def test_class_figures_are_those_of_a_plain_loop():
    logits = np.array([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]])
    labels = [0, 1, 1]
    loss = np.mean(
        [-np.log(np.exp(row[y]) / np.exp(row).sum()) for row, y in zip(logits, labels, strict=True)]
    )
    outputs = outputs_of(logits, labels)
    found, details = classes().figures(outputs), classes().details(outputs, None)
    assert found["loss"] == pytest.approx(loss)
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert details["per_class"][1]["recall"] == 0.5
    # Pairs of (dark, bright) by their margin: (1 > -2) and (-3 < -2): one of two.
    assert details["auc"] == 0.5


def test_a_classifier_is_weighed_against_always_naming_the_largest_class():
    """Three of four are `b`; a split without pictures has no largest class."""
    task = classes()
    outputs = outputs_of([[0.0, 1.0]] * 4, [1, 1, 0, 1])
    name = task.classes[1]
    assert task.baseline(outputs) == {"name": f"always naming '{name}'", "accuracy": 0.75}
    assert task.baseline(outputs_of(np.zeros((0, 2)), np.zeros(0, np.int64))) == {}


def test_a_very_sure_mistake_has_a_finite_loss():
    found = classes().figures(outputs_of([[1000.0, -1000.0]], [1]))
    assert found["loss"] == pytest.approx(2000)


def test_logits_are_averaged_as_numbers_and_probabilities_as_probabilities():
    """Logits of 4 and -2 for class 0 against 0: their mean is 1; the mean probability is
    (0.982 + 0.119) / 2 = 0.551.
    """
    runs = [outputs_of([[4.0, 0.0]], [0]), outputs_of([[-2.0, 0.0]], [0])]
    np.testing.assert_allclose(classes().average(runs, "logits").values, [[1.0, 0.0]])
    found = softmax(classes().average(runs, "probabilities").values)
    expected = (1 / (1 + np.exp(-4)) + 1 / (1 + np.exp(2))) / 2
    np.testing.assert_allclose(found, [[expected, 1 - expected]], rtol=1e-9)


def test_distances_of_runs_are_averaged_and_not_their_embeddings():
    """The second run's space is the first one's mirrored: the same distances, and embeddings
    whose mean is nothing.
    """
    embeddings = np.array([[[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]])
    runs = [outputs_of(squared_distances(each), [[1, 0, 0]]) for each in (embeddings, -embeddings)]
    for how in ("logits", "probabilities"):
        np.testing.assert_allclose(triplets().average(runs, how).values, [[2.0, 1.0, 1.0]])


def test_runs_of_different_records_are_not_averaged():
    one = outputs_of([[1.0, 0.0]], [0])
    two = Outputs(one.values, one.targets, np.array([7]))
    with pytest.raises(DataError, match="different records"):
        classes().average([one, two], "logits")


def test_the_report_lists_the_hardest_classes_and_what_they_are_taken_for():
    """Three of `bright`, one of them taken for `dark`; one of `dark`, found: F1 4/5 and 2/3."""
    task = classes()
    outputs = outputs_of([[2, 0], [2, 0], [0, 2], [0, 2]], [0, 0, 0, 1])
    confusion, table = task.sections(task.details(outputs, None), {})
    assert confusion.rows == [("bright", "dark", "1")]
    assert [(row[0], row[4]) for row in table.rows] == [("dark", "1"), ("bright", "3")]
    assert [row[3].split("\N{NO-BREAK SPACE}")[0] for row in table.rows] == ["66.7", "80.0"]
