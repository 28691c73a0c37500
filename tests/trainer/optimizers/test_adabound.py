import numpy as np
import pytest
import tensorflow as tf

from trainer.optimizers import AdaBound, AMSBound

GRADIENTS = (1, -2, 3, 0.5, 200)
FALLING = (3, -2, 0.1, 0.1, 0.1, 1)


def follow(optimizer, gradients, start=1.0):
    """The weight after each step, in float64."""
    weight = tf.Variable(start, dtype=tf.float64)
    path = []
    for gradient in gradients:
        optimizer.apply_gradients([(tf.constant(gradient, tf.float64), weight)])
        path.append(float(weight.numpy()))
    return path


def drop_after_two():
    """1e-3 for the first two steps (iterations 0 and 1), then 1e-4."""
    return tf.keras.optimizers.schedules.PiecewiseConstantDecay([1], [1e-3, 1e-4])


# Weights of the published rule, from an independent run of it in float64: w0 = 1.
VECTORS = {
    "defaults": ({}, [0.9990000003, 0.9993661038, 0.9990228627, 0.9986671549, 0.9886135181]),
    "amsbound, equal while v grows": (
        {"amsbound": True},
        [0.9990000003, 0.9993661038, 0.9990228627, 0.9986671549, 0.9886135181],
    ),
    "weight decay": (
        {"weight_decay": 0.1},
        [0.9990000003, 0.9993085007, 0.9989248576, 0.9985237407, 0.9884497488],
    ),
    "the lower bound bites": (
        {"gamma": 0.9},
        [0.9952631579, 1.0023345865, 0.9876670189, 0.9695965841, -0.6837696886],
    ),
    "a schedule scales the bounds": (
        {"learning_rate": drop_after_two},
        [0.9990000003, 0.9993661038, 0.9993317797, 0.9992962089, 0.9982908452],
    ),
}


@pytest.mark.parametrize(("arguments", "expected"), VECTORS.values(), ids=VECTORS)
def test_follows_the_published_rule(arguments, expected):
    """To 2e-9: ten digits are given, and the learning rate is rounded to float32 (5e-8 of 1e-3)."""
    arguments = {k: v() if callable(v) else v for k, v in arguments.items()}
    path = follow(AdaBound(**arguments), GRADIENTS)
    np.testing.assert_allclose(path, expected, rtol=0, atol=2e-9 if path[-1] > 0 else 1e-7)


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        (AdaBound, [0.9987196930, 0.9985894292, 0.9984596326, 0.9981968212]),
        (AMSBound, [0.9987265272, 0.9986091761, 0.9984981838, 0.9982719887]),
    ],
)
def test_amsbound_differs_when_v_falls(optimizer, expected):
    """beta_2 = 0.9 and gradients that shrink: steps 3 to 6."""
    path = follow(optimizer(beta_2=0.9), FALLING)
    np.testing.assert_allclose(path[2:], expected, rtol=0, atol=2e-9)


@pytest.mark.parametrize(
    ("gradient", "first"),
    [(0.5, 0.999), (-50.0, 1.001), (200.0, 0.9980019980)],
)
def test_first_step(gradient, first):
    """Lr * sign(g) while |g| <= 100.1: m = 0.1 g, sqrt(v) = |g| * sqrt(0.001), and the corrections
    make 1 of 0.1 and sqrt(0.001). Beyond, the lower bound 0.1 * (1 - 1 / 1.001) = 9.99e-5 is more
    than the step's rate: 9.99e-5 * 0.1 * 200 = 1.998e-3.
    """
    assert follow(AdaBound(), [gradient])[0] == pytest.approx(first, abs=2e-8)


def test_a_rate_lowered_on_a_plateau_scales_the_bounds_and_survives_a_copy():
    """Lr assigned after two steps follows the schedule's path, also from a copy made after it."""
    expected = VECTORS["a schedule scales the bounds"][1]
    optimizer = AdaBound()
    weight = tf.Variable(1.0, dtype=tf.float64)
    for step, gradient in enumerate(GRADIENTS):
        if step == 2:
            optimizer.learning_rate.assign(1e-4)
        optimizer.apply_gradients([(tf.constant(gradient, tf.float64), weight)])
    assert float(weight.numpy()) == pytest.approx(expected[-1], abs=2e-9)
    assert AdaBound.from_config(optimizer.get_config()).base_learning_rate == np.float32(1e-3)


def test_sparse_gradients_are_the_dense_ones_they_stand_for():
    """A row named twice adds up; a row not named still moves by its momentum."""
    table = np.arange(12.0).reshape(4, 3)
    sparse, dense = tf.Variable(table), tf.Variable(table)
    ours, theirs = AdaBound(weight_decay=0.1), AdaBound(weight_decay=0.1)
    for indices in ([0, 2, 0], [1, 1, 3]):
        values = np.ones((3, 3))
        slices = tf.IndexedSlices(tf.constant(values), tf.constant(indices), tf.constant([4, 3]))
        whole = np.zeros((4, 3))
        np.add.at(whole, indices, values)
        ours.apply_gradients([(slices, sparse)])
        theirs.apply_gradients([(tf.constant(whole), dense)])
    np.testing.assert_allclose(sparse, dense, rtol=1e-12)


@pytest.mark.parametrize("kind", [AdaBound, AMSBound])
def test_two_replicas_step_like_one(kind, replicas):
    """Each replica brings half of the gradient; summed it is that of one replica."""
    gradients = [[0.5, -1.0], [1.5, 2.0], [-0.1, 0.3]]
    single = tf.Variable([1.0, 2.0])
    reference = kind()
    for gradient in gradients:
        reference.apply_gradients([(tf.constant(gradient), single)])
    with replicas.scope():
        weight, optimizer = tf.Variable([1.0, 2.0]), kind()

    @tf.function
    def step(gradient):
        replicas.run(lambda: optimizer.apply_gradients([(gradient / 2, weight)]))

    for gradient in gradients:
        step(tf.constant(gradient))
    for copy in replicas.experimental_local_results(weight):
        np.testing.assert_allclose(copy, single, rtol=1e-6)


@pytest.mark.parametrize(
    "build",
    [
        lambda: AdaBound(2e-3, 0.05, 0.8, 0.99, 2e-3, 1e-7, 0.01, True, clipnorm=1.0),
        lambda: AMSBound(learning_rate=2e-3, gamma=0.1),
        lambda: AdaBound(tf.keras.optimizers.schedules.CosineDecay(1e-2, 100)),
    ],
    ids=["adabound", "amsbound", "schedule"],
)
def test_round_trips_by_its_registered_name(build):
    optimizer = build()
    again = tf.keras.optimizers.deserialize(tf.keras.optimizers.serialize(optimizer))
    assert type(again) is type(optimizer)
    assert again.get_config() == optimizer.get_config()
    assert follow(again, GRADIENTS) == follow(optimizer, GRADIENTS)


def test_a_saved_model_goes_on_with_its_moments(tmp_path):
    """Three steps in one go, or two, save, load and one more: the same weights."""
    pictures, targets = np.eye(4, 3, dtype="float32"), np.ones((4, 1), "float32")

    def fresh():
        tf.keras.utils.set_random_seed(0)
        model = tf.keras.Sequential([tf.keras.layers.Dense(1, input_shape=(3,))])
        model.compile(AMSBound(learning_rate=0.1), "mse")
        return model

    whole, split = fresh(), fresh()
    whole.fit(pictures, targets, epochs=3, shuffle=False, verbose=0)
    split.fit(pictures, targets, epochs=2, shuffle=False, verbose=0)
    split.save(tmp_path / "model.keras")
    loaded = tf.keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.optimizer, AMSBound)
    loaded.fit(pictures, targets, epochs=1, shuffle=False, verbose=0)
    np.testing.assert_array_equal(loaded.get_weights()[0], whole.get_weights()[0])


def test_a_warm_up_from_zero_needs_a_base_rate():
    """Keras's CosineDecay rises from 0 to 1e-2 in 10 steps: 0 is no rate to scale bounds by."""
    warm_up = tf.keras.optimizers.schedules.CosineDecay(
        0.0, 100, warmup_target=1e-2, warmup_steps=10
    )
    with pytest.raises(ValueError, match="base_learning_rate"):
        AdaBound(warm_up)
    path = follow(AdaBound(warm_up, base_learning_rate=1e-2), [1.0, 1.0])
    assert path[0] == 1.0 > path[1]
