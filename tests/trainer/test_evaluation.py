"""Figures of a split against plain loops, and averages of runs."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocess import reading
from preprocess.dataset_format import ImageKey, Manifest
from tests.trainer import datasets
from tests.trainer.conftest import strategy
from trainer.errors import ConfigError, DataError
from trainer.evaluation import (
    Evaluator,
    NotFiniteError,
    Outputs,
    average,
    class_figures,
    figures,
    read_error,
    softmax,
    squared_distances,
    triplet_figures,
    triplet_losses,
)
from trainer.reader import open_reader
from trainer.session import build_session

CLASSES = ("bright", "dark")


def outputs_of(values, targets):
    values = np.asarray(values, np.float64)
    return Outputs(values, np.asarray(targets), np.arange(len(values)))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
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
    found = triplet_losses(squared_distances(embeddings), votes, 0.5)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_triplet_figures_count_the_clear_ones_only():
    """Distances (12, 13, 23). 1: face1 is odd, 23 is the closest: right. 2: face1 is odd, 12 is
    the closest: wrong. 3: no vote above 0.5, left out. 4: a tie is not right.
    """
    values = [[2, 2, 1], [1, 2, 2], [2, 2, 1], [1, 1, 1]]
    votes = [[0.8, 0.1, 0.1], [0.8, 0.1, 0.1], [0.4, 0.3, 0.3], [0.6, 0.2, 0.2]]
    found = triplet_figures(outputs_of(values, votes), 0.5)
    assert found["counted"] == 3
    assert found["triplet_accuracy"] == pytest.approx(1 / 3)
    low, high = found["interval"]
    assert 0 < low < 1 / 3 < high < 1


def test_where_no_triplet_is_clear_there_is_no_accuracy():
    found = triplet_figures(outputs_of([[1, 2, 3]], [[0.4, 0.3, 0.3]]), 0.5)
    assert found["triplet_accuracy"] is None and found["interval"] is None
    assert np.isfinite(found["loss"])


def test_class_figures_are_those_of_a_plain_loop():
    logits = np.array([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]])
    labels = [0, 1, 1]
    loss = np.mean(
        [-np.log(np.exp(row[y]) / np.exp(row).sum()) for row, y in zip(logits, labels, strict=True)]
    )
    found = class_figures(outputs_of(logits, labels), CLASSES)
    assert found["loss"] == pytest.approx(loss)
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["report"]["per_class"][1]["recall"] == 0.5
    # Pairs of (dark, bright) by their margin: (1 > -2) and (-3 < -2): one of two.
    assert found["report"]["auc"] == 0.5


def test_a_very_sure_mistake_has_a_finite_loss():
    found = class_figures(outputs_of([[1000.0, -1000.0]], [1]), CLASSES)
    assert found["loss"] == pytest.approx(2000)


def test_logits_are_averaged_as_numbers_and_probabilities_as_probabilities():
    """Logits of 4 and -2 for class 0 against 0: their mean is 1; the mean probability is
    (0.982 + 0.119) / 2 = 0.551.
    """
    runs = [outputs_of([[4.0, 0.0]], [0]), outputs_of([[-2.0, 0.0]], [0])]
    np.testing.assert_allclose(average(runs, "logits").values, [[1.0, 0.0]])
    found = softmax(average(runs, "probabilities").values)
    expected = (1 / (1 + np.exp(-4)) + 1 / (1 + np.exp(2))) / 2
    np.testing.assert_allclose(found, [[expected, 1 - expected]], rtol=1e-9)


def test_distances_of_runs_are_averaged_and_not_their_embeddings():
    """The second run's space is the first one's mirrored: the same distances, and embeddings
    whose mean is nothing.
    """
    embeddings = np.array([[[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]])
    runs = [outputs_of(squared_distances(each), [[1, 0, 0]]) for each in (embeddings, -embeddings)]
    np.testing.assert_allclose(average(runs, "logits").values, [[2.0, 1.0, 1.0]])


def test_runs_of_different_records_are_not_averaged():
    one = outputs_of([[1.0, 0.0]], [0])
    two = Outputs(one.values, one.targets, np.array([7]))
    with pytest.raises(DataError, match="different records"):
        average([one, two], "logits")


def session_of(config, classes=0):
    tf.keras.utils.set_random_seed(0)
    return build_session(config, strategy(2), config.task, classes)


@pytest.fixture(scope="module")
def classifier(class_data):
    """A session with random weights on two replicas, and the reader of the test split."""
    config = datasets.configuration(
        datasets.CLASSIFICATION, augment__enabled=True, augment__flip=True, augment__crop=20
    )
    session = session_of(config, 2)
    manifest = Manifest.load(class_data)
    return session, open_reader(class_data, manifest, "test", config, training=False)


def test_a_split_is_measured_as_the_model_sees_each_picture_alone(classifier, class_data):
    """Ten pictures in batches of 8 on two replicas; the model on each, in stored order."""
    session, reader = classifier
    shards = Manifest.load(class_data).split("test").image_shards(0)
    records = [r for shard in shards for r in reading.records(class_data, shard.file)]
    expected = [
        session.model(reading.pixels(record)[np.newaxis], training=False).numpy()[0]
        for record in records
    ]
    found = Evaluator(session, reader).outputs()
    np.testing.assert_allclose(found.values, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found.targets, [r[ImageKey.LABEL] for r in records])
    np.testing.assert_array_equal(found.records, np.arange(10))


def test_steps_limit_the_split(classifier):
    assert len(Evaluator(*classifier, steps=1).outputs().records) == 8
    assert len(Evaluator(*classifier, steps=99).outputs().records) == 10


def test_test_time_augmentation_is_drawn_by_number(classifier):
    evaluator = Evaluator(*classifier)
    plain, first, again, second = (evaluator.outputs(draw).values for draw in (None, 0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, second)
    assert not np.allclose(first, plain)


def test_between_is_called_after_each_batch(classifier):
    called = []
    Evaluator(*classifier).outputs(between=lambda: called.append(1))
    assert len(called) == 2


def test_triplets_are_measured_by_the_distances_of_their_embeddings(triplet_data):
    config = datasets.configuration(datasets.TRIPLET)
    session = session_of(config)
    manifest = Manifest.load(triplet_data)
    reader = open_reader(triplet_data, manifest, "test", config, training=False)
    found = Evaluator(session, reader).outputs()
    assert len(found.records) == 27
    images = np.stack(reader.pictures(list(range(27)))).reshape(-1, 32, 32, 3)
    resized = tf.image.resize(images.astype("float32"), [24, 24])
    embeddings = session.model(resized, training=False).numpy().reshape(27, 3, 4)
    np.testing.assert_allclose(found.values, squared_distances(embeddings), rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(found.targets, reader.votes)


def test_outputs_that_are_not_finite_are_no_figures(classifier):
    session, _ = classifier
    with pytest.raises(NotFiniteError, match="diverged"):
        figures(session, outputs_of([[np.nan, 0.0]], [0]), CLASSES)


def test_out_of_memory_names_the_batch_size_to_try(classifier):
    _, reader = classifier
    error = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
    found = read_error(reader, error)
    assert isinstance(found, ConfigError)
    assert "batch_size=8; try 4" in str(found)


def test_an_error_that_is_no_one_s_mistake_stays_what_it_is(classifier):
    error = tf.errors.InternalError(None, None, "a fault")
    assert read_error(classifier[1], error) is error
