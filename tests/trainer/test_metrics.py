import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocess.shell.json_text import json_text
from trainer import metrics
from trainer.metrics import TripletAccuracy, classification_report, wilson_interval

FAR = np.array([[9.0], [0.0], [1.0]])  # d(1,2) = 81, d(1,3) = 64, d(2,3) = 1: 1 is the odd one


def hits(votes, embeddings):
    return tuple(h.numpy() for h in metrics.triplet_hits(np.array(votes), np.array(embeddings)))


@pytest.mark.parametrize("odd", [0, 1, 2])
def test_right_when_the_voted_picture_is_the_far_one(odd):
    others = [place for place in range(3) if place != odd]
    embeddings = np.zeros([1, 3, 1])
    embeddings[0, odd], embeddings[0, others[1]] = 9.0, 1.0
    for voted in range(3):
        votes = np.full([1, 3], 0.2)
        votes[0, voted] = 0.6
        assert hits(votes, embeddings) == ([voted == odd], [True])


def test_both_distances_must_be_greater():
    """Points 0, 2, 3 with picture 2 odd: d(2,3) = 1 < d(1,3) = 9, although d(1,2) = 4 < 9 too; with
    points 2, 0, 3: picture 1 has d = 4 and 1, the others 9 apart.
    """
    assert hits([[0.2, 0.6, 0.2]], [[[0.0], [2.0], [3.0]]])[0] == [False]
    assert hits([[0.6, 0.2, 0.2]], [[[2.0], [0.0], [3.0]]])[0] == [False]
    # Points 0, 2, 3 with picture 1 odd: 4 and 9, the others 1 apart.
    assert hits([[0.6, 0.2, 0.2]], [[[0.0], [2.0], [3.0]]])[0] == [True]


def test_equal_distances_are_not_right():
    """One point for all pictures, and an equilateral triangle: nothing is greater."""
    triangle = [[1.0, 0, 0], [0, 1, 0], [0, 0, 1]]
    right, counted = hits([[0.6, 0.2, 0.2]] * 2, [np.zeros([3, 3]), triangle])
    assert not right.any()
    assert counted.all()


def test_nan_embeddings_are_not_right():
    assert hits([[0.6, 0.2, 0.2]], np.full([1, 3, 2], np.nan)) == ([False], [True])


def test_only_a_majority_above_one_half_counts():
    right, counted = hits([[0.5, 0.3, 0.2], [0.51, 0.29, 0.2], [0.4, 0.3, 0.3]], [FAR] * 3)
    assert counted.tolist() == [False, True, False]
    assert right.tolist() == [False, True, False]


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32))
def test_host_and_device_agree_on_embeddings_and_on_their_distances(seed):
    rng = np.random.default_rng(seed)
    embeddings, votes = rng.normal(size=(50, 3, 4)), rng.dirichlet(np.ones(3), 50)
    distances = np.stack(
        [((embeddings[:, a] - embeddings[:, b]) ** 2).sum(1) for a, b in ((0, 1), (0, 2), (1, 2))],
        axis=1,
    )
    expected = hits(votes, embeddings)
    for device, host in zip(
        expected, metrics.triplet_hits_from_distances(distances, votes), strict=True
    ):
        np.testing.assert_array_equal(device, host)
    # Roots keep the order, so distances may be squared or not.
    rooted = metrics.triplet_hits_from_distances(np.sqrt(distances), votes)
    np.testing.assert_array_equal(expected[0], rooted[0])


def test_chance_is_one_third():
    """A random one of three distances is the least; 3 standard errors of 30,000 are 0.0082."""
    rng = np.random.default_rng(0)
    votes = np.tile([0.6, 0.2, 0.2], (30000, 1))
    right, counted = metrics.triplet_hits_from_distances(rng.random((30000, 3)), votes)
    assert abs(right.sum() / counted.sum() - 1 / 3) < 0.0082


def random_triplets(count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    return rng.dirichlet(np.ones(3), count), rng.normal(size=(count, 3, 2))


def test_accuracy_adds_up_over_uneven_batches_and_skips_padding():
    votes, embeddings = random_triplets(11)
    right, counted = hits(votes, embeddings)
    metric = TripletAccuracy()
    metric.update_state(votes[:8], embeddings[:8])
    padded = (
        np.concatenate([votes[8:], votes[:5]]),
        np.concatenate([embeddings[8:], embeddings[:5]]),
    )
    metric.update_state(*padded, sample_weight=[1, 1, 1, 0, 0, 0, 0, 0])
    assert (metric.right.numpy(), metric.counted.numpy()) == (right.sum(), counted.sum())
    # Not the mean of the two batches' accuracies, and something to tell apart.
    assert metric.result().numpy() == right.sum() / counted.sum()
    assert 0 < right.sum() < counted.sum() < 11
    metric.reset_state()
    assert np.isnan(metric.result())


def test_accuracy_over_two_replicas_with_uneven_shares(replicas):
    """Five triplets on one replica, two on the other: the sums are those of all seven."""
    votes, embeddings = random_triplets(7)
    right, counted = hits(votes, embeddings)
    with replicas.scope():
        metric = TripletAccuracy()
    shares = [slice(0, 5), slice(5, 7)]

    @tf.function
    def update(votes, embeddings):
        replicas.run(metric.update_state, (votes, embeddings))

    update(
        *(
            replicas.experimental_distribute_values_from_function(
                lambda context, array=array: tf.constant(
                    array[shares[context.replica_id_in_sync_group]]
                )
            )
            for array in (votes, embeddings)
        )
    )
    assert (metric.right.numpy(), metric.counted.numpy()) == (right.sum(), counted.sum())
    assert metric.result().numpy() == right.sum() / counted.sum()


def test_accuracy_round_trips():
    again = tf.keras.saving.deserialize_keras_object(
        tf.keras.saving.serialize_keras_object(TripletAccuracy(name="val"))
    )
    assert isinstance(again, TripletAccuracy)
    assert again.name == "val"


def test_wilson_interval_closed_form():
    """All n right: the lower end is 1 / (1 + z^2 / n). z = 1.959964, n = 10: 0.722467.
    Half of n: 1/2 +- z / (2 sqrt(n + z^2)); n = 100: 0.403832 to 0.596168.
    """
    assert wilson_interval(10, 10) == pytest.approx((0.722467, 1.0), abs=1e-6)
    assert wilson_interval(50, 100) == pytest.approx((0.403832, 0.596168), abs=1e-6)
    assert wilson_interval(0, 0) == (0.0, 1.0)


@given(counted=st.integers(1, 10**7), share=st.floats(0, 1))
def test_wilson_interval_holds_the_share_and_mirrors(counted, share):
    right = round(share * counted)
    low, high = wilson_interval(right, counted)
    assert 0 <= low <= right / counted <= high <= 1
    assert wilson_interval(counted - right, counted) == pytest.approx((1 - high, 1 - low), abs=1e-9)
    assert wilson_interval(right, counted, 0.99)[1] >= high


def test_wilson_interval_covers_as_often_as_it_says():
    """20,000 draws of 200 trials at 0.34: near 95 %, to the 1 % that a binomial's steps cost."""
    draws = np.random.default_rng(0).binomial(200, 0.34, 20000)
    ends = {right: wilson_interval(right, 200) for right in set(draws.tolist())}
    covered = np.mean([ends[right][0] <= 0.34 <= ends[right][1] for right in draws.tolist()])
    assert 0.94 < covered < 0.96


def test_report_of_a_small_case_by_hand():
    """True a a b c, predicted a b b a. a: 1 of 2 predicted, 1 of 2 found. b: 1 of 2 predicted, 1 of
    1 found: f1 = 2 * 1 / (2 + 1). c: never predicted, so no precision; recall 0; f1 = 0 / 1. d:
    neither, so nothing exists. Top 2 adds the second row, whose second score is a, and the last.
    """
    scores = [
        [0.7, 0.1, 0.1, 0.1],
        [0.3, 0.5, 0.1, 0.1],
        [0.1, 0.6, 0.2, 0.1],
        [0.5, 0.1, 0.4, 0.0],
    ]
    report = classification_report([0, 0, 1, 2], scores, ["a", "b", "c", "d"], top_k=2)
    assert (report["counted"], report["right"], report["accuracy"]) == (4, 2, 0.5)
    assert report["interval"] == list(wilson_interval(2, 4))
    assert (report["top_k"], report["top_k_accuracy"]) == (2, 1.0)
    assert report["per_class"] == [
        {"class": "a", "precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2},
        {"class": "b", "precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3), "support": 1},
        {"class": "c", "precision": None, "recall": 0.0, "f1": 0.0, "support": 1},
        {"class": "d", "precision": None, "recall": None, "f1": None, "support": 0},
    ]
    assert report["confusion"] == [[0, 0, 1], [0, 1, 1], [1, 1, 1], [2, 0, 1]]
    assert report["confusion_left_out"] == 0
    assert report["auc"] is None


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=1, max_size=40))
def test_area_under_curve_equals_counting_pairs(rows):
    positive = np.array([label for label, _ in rows])
    scores = np.array([score for _, score in rows], float)
    pairs = [(p, n) for p in scores[positive] for n in scores[~positive]]
    expected = np.mean([(p > n) + (p == n) / 2 for p, n in pairs]) if pairs else None
    assert metrics.area_under_curve(positive, scores) == pytest.approx(expected)


def test_two_classes_have_an_area_of_the_second():
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])
    report = classification_report([0, 1, 1], probabilities, ["no", "yes"])
    assert report["auc"] == 1.0
    assert report["top_k"] == 2


def test_equal_scores_go_to_the_first_class_in_accuracy_and_in_top_k():
    report = classification_report([1, 0], np.full((2, 3), 1 / 3), ["a", "b", "c"], top_k=1)
    assert report["accuracy"] == report["top_k_accuracy"] == 0.5


@given(st.integers(1, 6), st.integers(2, 9), st.integers(0, 99))
def test_top_k_counts_as_sorting_does_whatever_the_size_of_a_part(k, count, seed):
    """A stable sort by falling score, whose first k places hold the true class or not."""
    rng = np.random.default_rng(seed)
    scores, labels = rng.integers(0, 4, (40, count)), rng.integers(0, count, 40)
    order = np.argsort(-scores, axis=1, kind="stable")
    expected = (order[:, :k] == labels[:, None]).any(axis=1).mean()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "_PART_CELLS", 3 * count)
        report = classification_report(labels, scores, [str(i) for i in range(count)], top_k=k)
    assert report["top_k_accuracy"] == pytest.approx(expected)


def test_a_report_on_thousands_of_classes_stays_small():
    """6,000 classes squared would be 397 MB as JSON; 60,000 random guesses name 60,000 cells."""
    rng = np.random.default_rng(0)
    count, pictures = 6_000, 60_000
    labels, chosen = rng.integers(0, count, pictures), rng.integers(0, count, pictures)
    cells, left_out = metrics._confusion(labels, chosen, count)
    assert len(cells) == metrics.MOST_CELLS
    assert sum(cell[2] for cell in cells) + left_out == pictures
    rows = [metrics._class_row(f"a class with a name, {i}", 1, 3, 7) for i in range(count)]
    text = json_text({"confusion": cells, "per_class": rows}, indent=2)
    assert len(text) < 10e6


def test_of_too_many_confusions_the_most_frequent_are_kept(monkeypatch):
    monkeypatch.setattr(metrics, "MOST_CELLS", 2)
    labels, chosen = np.array([2, 0, 0, 1, 1]), np.array([2, 1, 1, 0, 0])
    cells, left_out = metrics._confusion(labels, chosen, 3)
    assert (cells, left_out) == ([[0, 1, 2], [1, 0, 2]], 1)


def test_an_empty_split_has_no_figures():
    report = classification_report([], np.zeros((0, 2)), ["a", "b"])
    assert [report[k] for k in ("accuracy", "interval", "top_k_accuracy", "auc")] == [None] * 4


@pytest.mark.parametrize(
    ("labels", "scores", "match"),
    [
        ([0], [[np.nan, 1.0]], "NaN"),
        ([2], [[0.5, 0.5]], "labels 2"),
        ([-1], [[0.5, 0.5]], "labels -1"),
        ([0, 1], [[0.5, 0.5]], "shape"),
    ],
)
def test_a_report_on_nonsense_is_refused(labels, scores, match):
    with pytest.raises(ValueError, match=match):
        classification_report(labels, np.array(scores), ["a", "b"])
