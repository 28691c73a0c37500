import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.benchmarks.bench_loss import split_loss
from trainer.losses import class_loss, squared_distances, triplet_loss


def by_hand(embeddings: np.ndarray, votes: np.ndarray, delta: float) -> float:
    """One triplet, as the formula reads."""

    def d(a: int, b: int) -> float:
        return float(((embeddings[a] - embeddings[b]) ** 2).sum())

    def h(far: int, n1: int, n2: int) -> float:
        return max(0, d(n1, n2) - d(n1, far) + delta) + max(0, d(n1, n2) - d(n2, far) + delta)

    return votes[0] * h(0, 1, 2) + votes[1] * h(1, 0, 2) + votes[2] * h(2, 0, 1)


def random_batch(seed: int, triplets: int = 20, size: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(triplets, 3, size)), rng.dirichlet(np.ones(3), triplets)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32), delta=st.sampled_from([0.0, 0.1, 0.5, 3.0]))
def test_equals_the_formula_triplet_by_triplet(seed, delta):
    embeddings, votes = random_batch(seed)
    expected = [by_hand(e, v, delta) for e, v in zip(embeddings, votes, strict=True)]
    np.testing.assert_allclose(triplet_loss(embeddings, votes, delta), expected, rtol=1e-12)
    in_float32 = triplet_loss(embeddings.astype("float32"), votes.astype("float32"), delta)
    assert in_float32.dtype == tf.float32
    np.testing.assert_allclose(in_float32, expected, rtol=1e-4, atol=1e-4)


def test_the_benchmark_s_other_side_is_the_same_loss():
    embeddings, votes = random_batch(0, triplets=5)
    np.testing.assert_allclose(
        split_loss(tf.constant(embeddings), tf.constant(votes), 0.5),
        triplet_loss(embeddings, votes, 0.5),
    )


ONES, ZEROS = np.ones(16), np.zeros(16)


@pytest.mark.parametrize(
    ("far", "n1", "n2", "expected"),
    [
        # d(n1,n2) = 16, d(n1,far) = 0, d(n2,far) = 16: (16 - 0 + 1/2) + (16 - 16 + 1/2) = 17.
        (ONES, ONES, ZEROS, 17.0),
        # d(n1,n2) = 0, both others 16: max(0, -15.5) twice.
        (ONES, ZEROS, ZEROS, 0.0),
        # All distances 0: 2 * delta.
        (ZEROS, ZEROS, ZEROS, 1.0),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_closed_forms_whichever_picture_is_odd(far, n1, n2, expected, place):
    """With all votes on one picture the loss is h of that picture; derived beside each case."""
    triplet = [n1, n2]
    triplet.insert(place, far)
    votes = np.eye(3)[[place]]
    assert triplet_loss(np.stack(triplet)[None], votes, 0.5).numpy() == pytest.approx([expected])


@pytest.mark.parametrize("votes", [[1, 0, 0], [0.5, 0.3, 0.2], [1 / 3, 1 / 3, 1 / 3]])
def test_equal_embeddings_cost_two_delta_however_the_votes_fall(votes):
    """Every h is 2 * delta and the votes sum to 1."""
    loss = triplet_loss(np.zeros([1, 3, 4]), np.array([votes]), 0.5)
    np.testing.assert_allclose(loss, [1.0], rtol=1e-12)


def test_the_gradient_is_zero_once_the_odd_one_is_far_enough():
    """d(n1,n2) = 0.01, far at squared distance >= 1: 0.01 - 1 + 0.5 < 0, both hinges shut."""
    embeddings = tf.Variable([[[1.0, 0.0], [0.0, 0.0], [0.0, 0.1]]])
    with tf.GradientTape() as tape:
        loss = triplet_loss(embeddings, [[1.0, 0.0, 0.0]], 0.5)
    assert loss.numpy() == [0]
    assert not tape.gradient(loss, embeddings).numpy().any()


def test_votes_decide_by_weight():
    embeddings, _ = random_batch(1)
    single = [triplet_loss(embeddings, np.tile(np.eye(3)[i], (20, 1)), 0.5) for i in range(3)]
    mixed = triplet_loss(embeddings, np.tile([0.5, 0.3, 0.2], (20, 1)), 0.5)
    np.testing.assert_allclose(mixed, 0.5 * single[0] + 0.3 * single[1] + 0.2 * single[2])


@pytest.mark.parametrize("seed", range(3))
def test_derivatives_equal_finite_differences(seed):
    """Central differences in float64, h = 1e-6: error about h**2 for a piecewise quadratic, unless
    a hinge opens within h, which the seeds do not hit.
    """
    embeddings, votes = random_batch(seed, triplets=6, size=3)
    variable = tf.Variable(embeddings)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(triplet_loss(variable, votes, 0.5))
    gradient = tape.gradient(loss, variable).numpy()
    numeric = np.zeros_like(embeddings)
    for place in np.ndindex(*embeddings.shape):
        ends = []
        for sign in (1, -1):
            moved = embeddings.copy()
            moved[place] += sign * 1e-6
            ends.append(triplet_loss(moved, votes, 0.5).numpy().sum())
        numeric[place] = (ends[0] - ends[1]) / 2e-6
    np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-7)


def test_half_precision_embeddings_are_judged_in_float32():
    embeddings = tf.cast(random_batch(0)[0], tf.bfloat16)
    assert squared_distances(embeddings).dtype == tf.float32


def test_class_loss_is_the_cross_entropy_of_each_row():
    """Equal logits over 4 classes: log 4. Logits log(1), log(3): label 1 has share 3/4."""
    logits = np.array([[0.0, 0, 0, 0], [np.log(1), np.log(3), -np.inf, -np.inf]])
    np.testing.assert_allclose(class_loss(logits, [2, 1]), [np.log(4), np.log(4 / 3)], rtol=1e-12)
    assert class_loss(tf.cast([[1.0, 2.0]], tf.bfloat16), [0]).dtype == tf.float32
