"""Metrics by name against counts made record by record, on one replica and on two."""

import numpy as np
import pytest
import tensorflow as tf

from preprocess.dataset_format import Manifest
from preprocess.shell.errors import ConfigError
from tests.trainer import datasets
from tests.trainer.conftest import strategy
from trainer.config.combinations import metric_names
from trainer.config.measure_table import greater_is_better
from trainer.data.reader import open_reader
from trainer.measures.build_measures import build_measures
from trainer.training.evaluation import Evaluator, figures
from trainer.training.session import build_session

NAMES = ("precision", "recall", "f1", "f1_micro", "auc", "top_1", "top_3")
RNG = np.random.default_rng(8)


def by_record(scores, true):
    """Each figure from lists of pairs, one class after the other, as its definition says.

    Scores are [N,C], truth bool [N,C]; where each row has one, the largest score is what is said.
    """
    classes, one = range(scores.shape[1]), (true.sum(1) == 1).all()
    said = np.zeros_like(true)
    for row, values in enumerate(scores):
        said[row] = np.arange(len(values)) == np.argmax(values) if one else values >= 0.5
    rows = []
    for c in classes:
        pairs = list(zip(said[:, c], true[:, c], strict=True))
        both, said_only, true_only = (
            sum(pair == kind for pair in pairs)
            for kind in ((True, True), (True, False), (False, True))
        )
        if both + said_only + true_only:
            precision = both / (both + said_only) if both + said_only else 0.0
            recall = both / (both + true_only) if both + true_only else 0.0
            f1 = 2 * both / (2 * both + said_only + true_only)
            rows.append((precision, recall, f1, both, said_only, true_only))
    areas = []
    for c in classes:
        above = [
            (p > n) + 0.5 * (p == n) for p in scores[true[:, c], c] for n in scores[~true[:, c], c]
        ]
        areas += [np.mean(above)] if above else []
    both, said_only, true_only = (sum(row[at] for row in rows) for at in (3, 4, 5))
    found = dict(zip(("precision", "recall", "f1"), np.mean(rows, 0), strict=False))
    found |= {
        "f1_micro": 2 * both / (2 * both + said_only + true_only),
        "auc": np.mean(areas) if areas else None,
    }
    for k in (1, 3) if one else ():
        hits = [
            int(np.argmax(t)) in sorted(classes, key=lambda c, v=v: (-v[c], c))[:k]
            for v, t in zip(scores, true, strict=True)
        ]
        found[f"top_{k}"] = np.mean(hits)
    return found


@pytest.mark.parametrize("replicas", [1, 2])
def test_figures_of_a_split_are_exact_over_replicas_and_padding(digit_data, replicas):
    """20 pictures in batches of 6: the last has 2, and 4 of padding."""
    config = datasets.configuration(
        datasets.CLASSIFICATION, batch_size=6, model__channels=1, metrics=NAMES
    )
    tf.keras.utils.set_random_seed(1)
    classes = [str(digit) for digit in range(10)]
    session = build_session(config, strategy(replicas), config.task, classes)
    manifest = Manifest.load(digit_data)
    reader = open_reader(digit_data, manifest, "test", config, training=False)
    outputs = Evaluator(session, reader).outputs()
    assert len(outputs.records) == 20
    odds = np.exp(outputs.values.astype(np.longdouble))
    probabilities = np.asarray(odds / odds.sum(1, keepdims=True), np.float64)
    expected = by_record(probabilities, np.eye(10, dtype=bool)[outputs.targets])
    found = figures(session.task, outputs)
    assert {name: found[name] for name in NAMES} == pytest.approx(expected, rel=1e-12)


def test_classes_that_are_never_true_or_never_said_count_as_in_scikit_learn():
    """Class 2 is said once and never true: 0; class 3 is neither: left out."""
    scores = np.eye(4)[[0, 0, 1, 2]]
    truth = np.array([0, 1, 1, 1])
    found = {n: m(scores, truth) for n, m in build_measures(NAMES, "classification").items()}
    assert found["precision"] == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert found["recall"] == pytest.approx((1 + 1 / 3 + 0) / 3)
    assert found["f1"] == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert found["f1_micro"] == found["top_1"] == pytest.approx(1 / 2)


@pytest.mark.parametrize("size", [1, 7, 60])
def test_random_scores_with_ties_give_the_same_by_definition(size):
    scores = RNG.integers(0, 6, (size, 5)) / 10
    truth = RNG.integers(0, 5, size)
    measures = build_measures(NAMES, "classification")
    found = {name: measure(scores, truth) for name, measure in measures.items()}
    expected = by_record(scores, np.eye(5, dtype=bool)[truth])
    if size == 1:  # nothing is against the rest
        assert (found.pop("auc"), expected.pop("auc")) == (None, None)
    assert found == pytest.approx(expected, rel=1e-12)


def test_a_split_without_records_has_no_figures():
    measures = build_measures(NAMES, "classification")
    assert {m(np.zeros((0, 3)), np.zeros(0, int)) for m in measures.values()} == {None}


def test_names_are_columns_of_each_split_that_best_may_watch():
    config = datasets.configuration(
        datasets.CLASSIFICATION,
        metrics=("f1", "top_2"),
        data__validation_splits=("a", "b"),
        checkpoint__best_metric="val_b_top_2",
    )
    assert metric_names(config)[2:] == [
        *("val_loss", "val_accuracy", "val_f1", "val_top_2"),
        *("val_b_loss", "val_b_accuracy", "val_b_f1", "val_b_top_2"),
    ]


@pytest.mark.parametrize(
    ("column", "greater"),
    [("val_loss", False), ("val_f1_loss", False), ("val_f1", True), ("val_my_top_10", True)],
)
def test_what_is_better_follows_from_the_end_of_a_name(column, greater):
    assert greater_is_better(column) is greater


@pytest.mark.parametrize(
    ("task", "name", "words"),
    [
        (
            "CLASSIFICATION",
            "recal",
            "no metric 'recal' for task=classification .did you mean 'recall'",
        ),
        ("CLASSIFICATION", "top_0", "no metric 'top_0'"),
        ("CLASSIFICATION", "top_k", "no metric 'top_k'.*there are auc, .*top_K"),
        ("TRIPLET", "f1", "no metric 'f1' for task=triplet; there are none"),
    ],
)
def test_a_metric_of_another_task_or_of_none_is_refused(task, name, words):
    with pytest.raises(ConfigError, match=words):
        datasets.configuration(getattr(datasets, task), metrics=(name,))


def test_a_named_metric_decides_which_state_is_best(class_data, tmp_path, train_here):
    from trainer.training.run_directory import RunDirectory

    config = datasets.configuration(
        datasets.CLASSIFICATION, metrics=("recall",), checkpoint__best_metric="val_recall"
    )
    report = train_here(config, class_data, tmp_path / "run")
    rows = RunDirectory(tmp_path / "run").history(config.epochs)
    assert all(0 <= row["val_recall"] <= 1 for row in rows)
    assert report["metrics"]["best"]["val_recall"] == max(row["val_recall"] for row in rows)


def test_of_several_labels_each_counts_by_itself():
    scores = RNG.random((30, 4))
    truth = RNG.random((30, 4)) < 0.4
    measures = build_measures(("precision", "recall", "f1", "f1_micro", "auc"), "multilabel")
    found = {name: measure(scores, truth.astype(np.float32)) for name, measure in measures.items()}
    assert found == pytest.approx(by_record(scores, truth), rel=1e-12)
