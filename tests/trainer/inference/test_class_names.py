"""Classes of a dataset that are not those of the run: by name, or refused with the names."""

import pytest
import tensorflow as tf

from preprocess.shell.errors import DataError
from trainer.inference.class_names import matched, unknown_class

RUN = ("ant", "bee", "cat")


def relabelled(stored, labels, weights=None):
    """The labels of a batch, in a dataset, as the run has them; and what was said."""
    said = []
    relabel = matched(RUN, stored, said.append)
    batch = {
        "label": tf.constant(labels, tf.int64),
        "weight": tf.constant(weights or [1.0] * len(labels)),
    }
    (found,) = tf.data.Dataset.from_tensors(batch).map(relabel)
    return found["label"].numpy().tolist(), said


def test_the_same_classes_are_left_alone():
    assert matched(RUN, list(RUN), pytest.fail) is None


@pytest.mark.parametrize(
    ("stored", "labels", "expected", "words"),
    [
        (("cat", "ant", "bee"), [0, 1, 2, 0], [2, 0, 1, 2], "in another order"),
        (("bee", "cat"), [0, 1], [1, 2], "1 are not in the dataset (ant)"),
        (("bee", "dog", "cat"), [0, 2], [1, 2], "1 the run does not know (dog)"),
    ],
)
def test_they_are_matched_by_name_and_what_differs_is_said(stored, labels, expected, words):
    found, said = relabelled(stored, labels)
    assert found == expected
    assert len(said) == 1 and words in said[0]


def test_a_picture_of_an_unknown_class_ends_it_with_the_name():
    stored = ("bee", "dog", "cat")
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        relabelled(stored, [0, 1])
    error = unknown_class(caught.value, RUN, stored, "test")
    assert isinstance(error, DataError) and "which are dog;" in str(error)
    assert unknown_class(tf.errors.InvalidArgumentError(None, None, "x"), RUN, stored, "t") is None


def test_padding_is_of_no_class():
    assert relabelled(("dog", "cat"), [1, 0], [1.0, 0.0])[0] == [2, 0]


def test_nothing_in_common_is_refused_with_both():
    with pytest.raises(DataError, match=r"\(dog\) is one of .* \(ant, bee, cat\)"):
        matched(RUN, ["dog"], print)
