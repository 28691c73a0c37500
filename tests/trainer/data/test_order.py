"""The order of a pass: every record once, the same on any number of readers, sought freely."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess.dataset_format import variant_of
from trainer.data.order import PictureOrder, batch_rows, permutation, steps_per_pass, triplet_order

REPLICAS = st.sampled_from([1, 2, 4])
RECORDS = st.integers(1, 200)
PER_REPLICA = st.integers(1, 20)


@pytest.mark.parametrize(
    ("records", "batch", "steps"), [(376_128, 64, 5_877), (60_000, 1_024, 59), (1_034, 32, 33)]
)
def test_steps_of_the_three_data_sets_of_the_course(records, batch, steps):
    """376,128 = 5,877 * 64 exactly; 58 * 1,024 < 60,000; 32 * 32 < 1,034 < 33 * 32."""
    assert steps_per_pass(records, batch) == steps


@given(RECORDS, PER_REPLICA, REPLICAS)
def test_a_pass_has_every_record_once_whatever_the_batch_and_the_replicas(records, size, replicas):
    batch = size * replicas
    seen = [
        part.positions[part.weight > 0]
        for step in range(steps_per_pass(records, batch))
        for part in (batch_rows(step, r, replicas, records, batch) for r in range(replicas))
    ]
    assert sorted(np.concatenate(seen)) == list(range(records))


@given(RECORDS, PER_REPLICA, REPLICAS, st.data())
def test_shares_add_up_to_one_and_are_zero_for_padding(records, size, replicas, data):
    batch = size * replicas
    step = data.draw(st.integers(0, steps_per_pass(records, batch) - 1))
    parts = [batch_rows(step, r, replicas, records, batch) for r in range(replicas)]
    share = np.concatenate([part.share for part in parts])
    weight = np.concatenate([part.weight for part in parts])
    assert share.sum() == pytest.approx(1, abs=1e-5)
    assert not share[weight == 0].any()
    assert weight.sum() == min(batch, records - step * batch)


@given(RECORDS, PER_REPLICA, st.sampled_from([2, 4]), st.data())
def test_the_slices_of_several_replicas_are_the_batch_of_one(records, size, replicas, data):
    batch = size * replicas
    step = data.draw(st.integers(0, steps_per_pass(records, batch) - 1))
    whole = batch_rows(step, 0, 1, records, batch)
    parts = [batch_rows(step, r, replicas, records, batch) for r in range(replicas)]
    for field in ("positions", "weight", "share", "rows"):
        joined = np.concatenate([getattr(part, field) for part in parts])
        np.testing.assert_array_equal(joined, getattr(whole, field))


def test_padding_wraps_to_the_start_of_the_pass():
    """5 records in batches of 4: the second has record 4 and three of padding."""
    part = batch_rows(1, 0, 1, 5, 4)
    np.testing.assert_array_equal(part.positions, [4, 0, 1, 2])
    np.testing.assert_array_equal(part.weight, [1, 0, 0, 0])
    np.testing.assert_array_equal(part.share, [1, 0, 0, 0])


def test_every_picture_is_seen_in_each_variant_after_as_many_passes():
    """Pass p reads shard s from variant (p + s) mod V."""
    assert [variant_of(pass_number, 2, 4) for pass_number in range(4)] == [2, 3, 0, 1]
    for shard in range(5):
        assert {variant_of(p, shard, 4) for p in range(4)} == {0, 1, 2, 3}


def test_a_permutation_has_each_number_once_and_depends_on_seed_and_words():
    first = permutation(0, (1, 2), 50)
    assert sorted(first) == list(range(50))
    np.testing.assert_array_equal(first, permutation(0, (1, 2), 50))
    for other in (permutation(1, (1, 2), 50), permutation(0, (1, 3), 50)):
        assert not np.array_equal(first, other)


def test_triplets_come_in_another_order_in_each_pass_and_under_each_seed():
    orders = [triplet_order(seed, number, 40) for seed in (0, 1) for number in (0, 1)]
    assert len({tuple(order) for order in orders}) == 4


COUNTS = st.lists(st.integers(0, 9), min_size=1, max_size=12).filter(any)


def order_of(counts, *, seed=0, group_bytes=300, shuffle=True):
    """Each record takes 100 bytes."""
    sizes = [100 * count for count in counts]
    return PictureOrder(counts, sizes, seed=seed, group_bytes=group_bytes, shuffle=shuffle)


def places(order, pass_number):
    return list(zip(*order.places(pass_number, np.arange(order.records)), strict=True))


@given(COUNTS, st.integers(0, 3), st.booleans())
def test_a_pass_over_shards_has_every_record_once(counts, pass_number, shuffle):
    expected = [(shard, record) for shard, n in enumerate(counts) for record in range(n)]
    found = places(order_of(counts, shuffle=shuffle), pass_number)
    assert sorted(found) == expected
    if not shuffle:
        assert found == expected


@given(COUNTS, st.data())
def test_a_position_can_be_sought_without_the_ones_before_it(counts, data):
    order = order_of(counts)
    whole = places(order, 1)
    start = data.draw(st.integers(0, order.records - 1))
    fresh = order_of(counts)
    found = fresh.places(1, np.arange(start, order.records))
    assert list(zip(*found, strict=True)) == whole[start:]


@given(COUNTS)
def test_records_are_mixed_within_groups_that_keep_to_the_byte_budget(counts):
    """Groups are consecutive in the pass: cut at 300 bytes or at one shard that alone is more."""
    order = order_of(counts)
    shards = [shard for shard, _ in places(order, 0)]
    at = 0
    while at < len(shards):
        # The group that starts here: as many whole shards as the following records fill.
        group: set[int] = set()
        end = at
        while end < len(shards) and sum(100 * counts[s] for s in group | {shards[end]}) <= max(
            300, 100 * counts[shards[at]]
        ):
            group.add(shards[end])
            end += 1
            if end - at == sum(counts[s] for s in group):
                break
        assert sorted(shards[at:end]) == sorted(s for s in group for _ in range(counts[s]))
        at = end


def test_the_order_of_pictures_depends_on_pass_and_seed():
    counts = [4, 4, 4]
    found = {
        tuple(places(order_of(counts, seed=seed), number)) for seed in (0, 1) for number in (0, 1)
    }
    assert len(found) == 4


def test_neighbouring_shards_of_a_group_are_mixed():
    """Two shards of 3 in one group of 600 bytes: a permutation of six is sorted once in 720."""
    order = order_of([3, 3], group_bytes=600)
    assert any(
        [s for s, _ in places(order, p)] not in ([0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0])
        for p in range(5)
    )
