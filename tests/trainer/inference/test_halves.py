"""Held-out halves: which record is in which, their figures, and choosing by one of them."""

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess.shell.errors import DataError
from tests.trainer import datasets
from trainer.inference.halves import (
    HASH,
    ORDER,
    compare_halves,
    halves_in_words,
    in_first_half,
)
from trainer.metrics import wilson_interval
from trainer.tasks.outputs import Outputs
from trainer.tasks.task import make_task

IDS = [(f"test-{number:05d}",) for number in range(10_000)]


def classes():
    return make_task(datasets.configuration(datasets.CLASSIFICATION), ["a", "b"])


def outputs_of(right, records=None):
    """Of records that are all of class 0: logits that are right or not."""
    values = np.array([[1.0, 0.0] if each else [0.0, 1.0] for each in right])
    records = np.arange(len(right)) if records is None else np.asarray(records)
    return Outputs(values, np.zeros(len(right), np.int64), records)


def test_a_record_is_in_half_a_by_the_lowest_bit_of_its_hash():
    first = in_first_half(("id",), IDS[:50], HASH)
    even = [hashlib.sha256(name.encode()).digest()[0] % 2 == 0 for (name,) in IDS[:50]]
    assert first.tolist() == even


def test_the_halves_by_hash_are_of_one_size_but_for_chance():
    """10,000 fair coins: the standard deviation of the heads is 50."""
    assert abs(int(in_first_half(("id",), IDS, HASH).sum()) - 5000) < 5 * 50


@given(st.permutations(range(40)))
def test_a_record_stays_in_its_half_whatever_else_there_is(order):
    some = [IDS[number] for number in order[:25]]
    all_of_them = dict(zip(IDS[:40], in_first_half(("id",), IDS[:40], HASH), strict=True))
    assert in_first_half(("id",), some, HASH).tolist() == [all_of_them[each] for each in some]


def test_a_triplet_stays_in_its_half_when_lines_are_put_before_it():
    columns = ("line", "face1", "face2", "face3")
    faces = [(f"f{n}", f"g{n}", f"h{n}") for n in range(40)]
    before = in_first_half(columns, [(str(n), *each) for n, each in enumerate(faces)], HASH)
    after = in_first_half(columns, [(str(n + 9), *each) for n, each in enumerate(faces)], HASH)
    assert before.tolist() == after.tolist()


def test_the_halves_by_order_are_those_of_the_ids_with_numbers_by_value():
    """2 before 10, whatever the stored order; of an odd number a has one more."""
    ids = [("p10",), ("p2",), ("p1",), ("q0",), ("p11",)]
    assert in_first_half(("id",), ids, ORDER).tolist() == [True, True, True, False, False]
    lines = [("10", "a"), ("9", "b"), ("100", "c")]
    assert in_first_half(("line", "face1"), lines, ORDER).tolist() == [True, True, False]


@pytest.mark.parametrize("how", [HASH, ORDER])
def test_an_empty_half_is_refused(how):
    with pytest.raises(DataError, match="1 records, and one half has none"):
        in_first_half(("id",), IDS[:1], how)


def test_any_text_can_be_an_id():
    odd = [("\udcff",), ("",), ("a\nb",), ("١٢",), ("²",), ("p",), ("q",), ("r",), ("s",)]
    for how in (HASH, ORDER):
        assert in_first_half(("id",), odd, how).any()


def test_each_half_has_the_figures_of_its_records():
    """Half a: records 0, 1, 2, of which 2 are right; half b: 3, 4, of which 1 is. The outputs come
    in another order than the ids.
    """
    records = [4, 0, 3, 2, 1]
    right = {0: True, 1: True, 2: False, 3: True, 4: False}
    outputs = outputs_of([right[each] for each in records], records)
    first = np.array([True, True, True, False, False])
    found = compare_halves(classes(), outputs, {"run": outputs}, first, ORDER)
    assert (found["a"]["counted"], found["b"]["counted"]) == (3, 2)
    assert found["a"]["accuracy"] == pytest.approx(2 / 3)
    assert found["b"]["accuracy"] == pytest.approx(1 / 2)
    assert found["a"]["interval"] == pytest.approx(wilson_interval(2, 3))
    assert found["difference"] == pytest.approx(1 / 2 - 2 / 3)
    assert (found["runs"], found["rank_correlation"], found["chosen"]) == ([], None, None)
    (line,) = halves_in_words(found)
    assert line.startswith("halves by order: accuracy a 0.6667 [")
    assert line.endswith("which may be chance")


def test_the_interval_of_the_difference_is_that_of_its_publication():
    """Newcombe 1998, table II (a), 56/70 and 48/80: difference 0.2, interval by method 10 of 0.0524
    to 0.3339.
    """
    right = [True] * 48 + [False] * 32 + [True] * 56 + [False] * 14
    outputs = outputs_of(right)
    found = compare_halves(classes(), outputs, {}, np.arange(150) < 80, ORDER)
    assert found["difference"] == pytest.approx(0.2)
    assert found["difference_interval"] == pytest.approx([0.0524, 0.3339], abs=5e-5)
    assert "chance" not in halves_in_words(found)[0]


def test_the_best_of_half_a_is_measured_on_half_b():
    """Three runs with 3, 2, 1 of 4 right on a and 1, 2, 4 of 4 on b: the ranking is upside down,
    and what was chosen by a is the worst on b.
    """

    def run(on_a, on_b):
        return outputs_of([at < on_a for at in range(4)] + [at < on_b for at in range(4)])

    runs = {"x": run(3, 1), "y": run(2, 2), "z": run(1, 4)}
    task = classes()
    found = compare_halves(task, task.average(list(runs.values()), "logits"), runs,
                           np.arange(8) < 4, HASH)  # fmt: skip
    assert found["runs"][2] == {"run": "z", "a": 0.25, "b": 1.0}
    assert found["rank_correlation"] == pytest.approx(-1)
    assert found["chosen"] == {
        "run": "x",
        "a": 0.75,
        "b": 0.25,
        "b_interval": pytest.approx(list(wilson_interval(1, 4))),
        "b_mean_of_all": pytest.approx((1 + 2 + 4) / 12),
    }
    assert json.loads(json.dumps(found)) == found
    lines = halves_in_words(found)
    assert [line.split()[0] for line in lines[1:4]] == ["x", "y", "z"]
    assert "best on half a: x, 0.7500; on half b, which did not choose it, 0.2500" in lines[-1]


def test_two_runs_have_no_rank_correlation_but_a_best_one():
    runs = {"x": outputs_of([True, False, True, True]), "y": outputs_of([True, True, True, False])}
    found = compare_halves(classes(), runs["x"], runs, np.arange(4) < 2, HASH)
    assert (found["rank_correlation"], found["chosen"]["run"]) == (None, "y")
    assert "does not tell" in halves_in_words(found)[-2]


def test_a_half_in_which_nothing_counts_has_no_figure():
    """Triplets without a majority do not count."""
    task = make_task(datasets.configuration(datasets.TRIPLET))
    votes = np.array([[0.8, 0.1, 0.1], [0.4, 0.3, 0.3]])
    outputs = Outputs(np.array([[0.1, 2.0, 2.0]] * 2), votes, np.arange(2))
    found = compare_halves(
        task, outputs, {"x": outputs, "y": outputs}, np.array([True, False]), HASH
    )
    assert found["a"]["counted"] == 1 and found["b"]["triplet_accuracy"] is None
    assert found["difference"] is None and found["chosen"] is None
    assert "no record of one half counts" in halves_in_words(found)[0]
