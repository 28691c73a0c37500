"""Mixup and cutmix: pictures against NumPy, losses against those of mixed labels."""

import types

import numpy as np
import pytest
import tensorflow as tf

from preprocess.shell.errors import ConfigError
from trainer.config import Config, check_config, with_values
from trainer.losses import class_loss
from trainer.models import randomness
from trainer.models.build_mixing import Mixture, build_mixers, check_pairs, partners
from trainer.models.layers.beta import Beta, beta_quantiles
from trainer.tasks.task import make_task

RNG = np.random.default_rng(0)
COUNT, HEIGHT, WIDTH = 16, 10, 7
PICTURES = RNG.integers(0, 256, (COUNT, HEIGHT, WIDTH, 3)).astype("float32")
WEIGHT = np.array([1.0] * 15 + [0], "float32")  # the last row is padding
OTHERS = np.arange(COUNT) ^ 1
LABELS = RNG.integers(0, 3, COUNT)
FACTORS = RNG.random(3).astype("float32") + 0.5

JUDGE = types.SimpleNamespace(
    target="label",
    loss=lambda outputs, batch: class_loss(outputs, batch["label"]),
    factors=lambda batch: None,
    hits=lambda outputs, batch: (
        tf.equal(tf.argmax(outputs, -1), batch["label"]),
        tf.ones_like(batch["label"], tf.bool),
    ),
)
WEIGHTED = types.SimpleNamespace(
    **{**vars(JUDGE), "factors": lambda batch: tf.gather(FACTORS, batch["label"])}
)


def mixers(**changes):
    values = {"augment.enabled": True, **{f"augment.{k}": v for k, v in changes.items()}}
    return build_mixers(with_values(Config(), values).augment)


def keyed(rows=range(COUNT)):
    return randomness.keyed(3, tf.constant(5, tf.int64), list(rows), COUNT)


def drawn(label, shape=()):
    with keyed():
        return randomness.uniform(label, shape).numpy().astype(float)


def mixed(judge=JUDGE, **changes):
    """(mixture, pictures) of the whole batch."""
    mixture = Mixture(mixers(**changes), judge, tf.constant(WEIGHT))
    with keyed():
        return mixture, mixture.pictures(tf.constant(PICTURES)).numpy()


@pytest.mark.parametrize(
    ("alpha", "quantiles"),
    [
        (1.0, lambda u: u),
        (0.5, lambda u: np.sin(np.pi * u / 2) ** 2),
        (2.0, lambda u: 0.5 - np.sin(np.arcsin(1 - 2 * u) / 3)),
    ],
)
def test_quantiles_are_those_known_in_closed_form(alpha, quantiles):
    u = np.linspace(0, 1, 1001)
    np.testing.assert_allclose(beta_quantiles(alpha, 1000), quantiles(u), atol=2e-5)
    np.testing.assert_allclose(
        Beta(alpha)(tf.constant(u[:-1], tf.float32)), quantiles(u[:-1]), atol=1e-4
    )


@pytest.mark.parametrize("alpha", [0.05, 0.2, 0.4, 10.0])
def test_numbers_have_the_mean_and_variance_of_their_distribution(alpha):
    """1/2, and 1 / (4 (2 alpha + 1)); u is evenly spaced, so there is no noise."""
    found = Beta(alpha)((tf.range(100_000, dtype=tf.float32) + 0.5) / 100_000).numpy()
    assert found.min() >= 0 and found.max() <= 1
    assert found.mean(dtype=float) == pytest.approx(0.5, abs=1e-4)
    assert found.var(dtype=float) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=3e-3)


def test_rows_are_paired_and_the_last_of_an_odd_number_stays():
    np.testing.assert_array_equal(partners(tf.range(6)), [1, 0, 3, 2, 5, 4])
    np.testing.assert_array_equal(partners(tf.range(3)), [1, 0, 2])


def test_mixup_is_a_mean_weighted_by_a_share_of_its_own():
    _, found = mixed(mixup=1.0)
    shares = drawn("mixup")[:, None, None, None]
    expected = shares * PICTURES + (1 - shares) * PICTURES[OTHERS]
    np.testing.assert_allclose(found[:14], expected[:14], atol=0.02)
    # With padding, and in padding, nothing is mixed.
    np.testing.assert_array_equal(found[14], PICTURES[14])


def test_cutmix_takes_a_rectangle_and_counts_what_is_inside():
    mixture, found = mixed(cutmix=1.0)
    for n, (share, row, column) in enumerate(drawn("cutmix", (3,))[:14]):
        expected, count = PICTURES[n].copy(), 0
        height, width = (int(side * (1 - share) ** 0.5) for side in (HEIGHT, WIDTH))
        top, left = int(HEIGHT * row) - height // 2, int(WIDTH * column) - width // 2
        for y in range(max(top, 0), min(top + height, HEIGHT)):
            for x in range(max(left, 0), min(left + width, WIDTH)):
                expected[y, x] = PICTURES[OTHERS[n]][y, x]
                count += 1
        np.testing.assert_array_equal(found[n], expected)
        assert mixture._shares[n].numpy() == pytest.approx(1 - count / (HEIGHT * WIDTH), abs=1e-6)


def test_with_both_each_picture_has_one_of_them():
    _, found = mixed(mixup=1.0, cutmix=1.0)
    one, other = (mixed(**{name: 1.0})[1] for name in ("cutmix", "mixup"))
    first = drawn("mixing") < 0.5
    assert 0 < first.sum() < COUNT
    np.testing.assert_array_equal(found, np.where(first[:, None, None, None], one, other))


@pytest.mark.parametrize("judge", [JUDGE, WEIGHTED], ids=["equal", "weighted"])
def test_the_loss_is_that_of_the_mixed_label(judge):
    """Of equal weights it is the cross-entropy of the label's mean; else each label weighs what
    its class does, in the loss of the row and in the weight of the row.
    """
    mixture, _ = mixed(judge, mixup=1.0)
    shares = np.where(WEIGHT[OTHERS] > 0, drawn("mixup"), 1)
    logits = RNG.normal(size=(COUNT, 3)).astype("float32")
    batch = {"label": tf.constant(LABELS), "image": tf.zeros([COUNT, 1]), "weight": WEIGHT}
    ours, theirs = (np.eye(3)[labels] for labels in (LABELS, LABELS[OTHERS]))
    truth = shares[:, None] * ours + (1 - shares[:, None]) * theirs
    if judge is WEIGHTED:
        truth *= FACTORS
    log_shares = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    losses, factors = mixture.loss(tf.constant(logits), batch), mixture.factors(batch)
    total = losses if factors is None else losses * factors
    np.testing.assert_allclose(total, -(truth * log_shares).sum(-1), rtol=1e-4, atol=1e-5)
    if judge is WEIGHTED:
        np.testing.assert_allclose(factors, truth.sum(-1), rtol=1e-5)
    else:
        assert factors is None
    right, counted = mixture.hits(tf.constant(logits), batch)
    np.testing.assert_array_equal(
        right, logits.argmax(-1) == np.where(shares >= 0.5, LABELS, LABELS[OTHERS])
    )
    assert counted.numpy().all()


def test_several_labels_are_mixed_too():
    """The binary cross-entropy of the mean label; correct is the row with the larger share."""
    task = make_task(with_values(Config(), {"task": "multilabel"}), ("a", "b", "c"))
    mixture, _ = mixed(task, cutmix=1.0)
    shares = mixture._shares.numpy()[:, None]
    labels = RNG.integers(0, 2, (COUNT, 3)).astype("float32")
    logits = RNG.normal(size=(COUNT, 3)).astype("float32")
    batch = {"labels": tf.constant(labels), "image": tf.zeros([COUNT, 1])}
    truth = shares * labels + (1 - shares) * labels[OTHERS]
    np.testing.assert_allclose(
        mixture.loss(tf.constant(logits), batch),
        task.loss(tf.constant(logits), {"labels": tf.constant(truth)}),
        rtol=1e-4,
    )
    right, _ = mixture.hits(tf.constant(logits), batch)
    larger = np.where(shares >= 0.5, labels, labels[OTHERS])
    np.testing.assert_array_equal(right, ((logits >= 0) == (larger > 0)).all(1))


def test_replicas_mix_as_one_does():
    """Rows 0 to 7 on one, 8 to 15 on the other."""
    _, expected = mixed(mixup=0.4, cutmix=1.0)
    for rows in (range(8), range(8, 16)):
        mixture = Mixture(mixers(mixup=0.4, cutmix=1.0), JUDGE, tf.gather(WEIGHT, list(rows)))
        with keyed(rows):
            found = mixture.pictures(tf.gather(PICTURES, list(rows)))
        np.testing.assert_array_equal(found, expected[rows.start : rows.stop])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task": "triplet"}, "augment.mixup 0.2 with task triplet: mixes labels, for classif"),
        ({"batch_size": 7}, "batch_size is 7: take 6 or 8"),
        ({"batch_size": 6, "virtual_replicas": 2}, "batch_size is 6: take 4 or 8"),
        ({"augment.order": ("flip", "mixup")}, "mixup acts after all layers"),
    ],
)
def test_what_cannot_be_mixed_is_refused_in_a_line(changes, words):
    values = {"task": "classification", "batch_size": 8, "augment.enabled": True}
    config = with_values(Config(), {**values, "augment.mixup": 0.2, **changes})
    with pytest.raises(ConfigError, match=words) as caught:
        check_config(config)
    assert "\n" not in str(caught.value)


def test_devices_that_cannot_pair_their_rows_are_refused():
    check_pairs(8, 4)
    with pytest.raises(ConfigError, match=r"each of 4 replicas: take 8 or 16"):
        check_pairs(12, 4)


def test_nothing_is_mixed_without_the_section():
    assert mixers() == []
    config = with_values(Config(), {"augment.enabled": False, "augment.mixup": 1.0})
    assert build_mixers(config.augment) == []
