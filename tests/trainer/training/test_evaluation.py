"""Measuring a split: outputs of every record, and errors of reading."""

import dataclasses
import math

import numpy as np
import pytest
import tensorflow as tf

from preprocess.dataset_format import ImageKey, Manifest
from preprocess.shards import reading
from preprocess.shell.errors import ConfigError
from tests.trainer import datasets
from tests.trainer.conftest import strategy
from trainer.config import with_values
from trainer.data.reader import open_reader
from trainer.tasks.outputs import Outputs
from trainer.tasks.task import make_task
from trainer.tasks.triplets import squared_distances
from trainer.training.evaluation import Evaluator, NotFiniteError, figures, read_error
from trainer.training.session import build_session

CLASSES = ("bright", "dark")


def outputs_of(values, targets):
    values = np.asarray(values, np.float64)
    return Outputs(values, np.asarray(targets), np.arange(len(values)))


def session_of(config, classes=()):
    tf.keras.utils.set_random_seed(0)
    return build_session(config, strategy(2), config.task, classes)


@pytest.fixture(scope="module")
def classifier(class_data):
    """A session with random weights on two replicas, and the reader of the test split."""
    config = datasets.configuration(
        datasets.CLASSIFICATION, augment__enabled=True, augment__flip=True, augment__crop=20
    )
    session = session_of(config, CLASSES)
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


def test_draws_follow_from_the_record_and_not_from_the_size_of_a_batch(classifier, class_data):
    session, reader = classifier
    config = with_values(session.config, {"batch_size": 4})
    smaller = open_reader(class_data, Manifest.load(class_data), "test", config, training=False)
    expected = Evaluator(session, reader, draw_rows=8).outputs(1).values
    here = Evaluator(dataclasses.replace(session, config=config), smaller, draw_rows=8)
    np.testing.assert_allclose(here.outputs(1).values, expected, rtol=1e-4, atol=1e-5)
    # As it was when the size was that of training, whose rows these are.
    np.testing.assert_array_equal(Evaluator(session, reader).outputs(1).values, expected)


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
        figures(session.task, outputs_of([[np.nan, 0.0]], [0]))


def test_out_of_memory_names_the_batch_size_to_try(classifier):
    _, reader = classifier
    error = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
    found = read_error(reader, error)
    assert isinstance(found, ConfigError)
    assert "batch_size=8; try 4" in str(found)


def test_an_error_that_is_no_one_s_mistake_stays_what_it_is(classifier):
    error = tf.errors.InternalError(None, None, "a fault")
    assert read_error(classifier[1], error) is error


def test_the_loss_of_a_perfect_model_is_zero_without_a_sign():
    """-log of a probability of 1 is -0.0, which would be drawn and printed as `-0.0`."""
    task = make_task(datasets.configuration(datasets.CLASSIFICATION), ("a", "b"))
    perfect = Outputs(np.array([[1e4, 0.0]]), np.array([0]), np.array([0]))
    assert math.copysign(1, figures(task, perfect)["loss"]) == 1
    assert f"{-1e-9:z.4f}" == "0.0000"  # how an epoch's line has it
