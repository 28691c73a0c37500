"""A run that waits for its follower: the verdict, and how many workers would do."""

import dataclasses

import pytest

from tests.trainer.bottleneck.test_run_verdict import FACTS, STEPS, run
from trainer.bottleneck.bottleneck import Kind
from trainer.bottleneck.run_verdict import run_verdict
from trainer.bottleneck.sentences import advice_line, verdict

# 100 steps in 100 s, 10 a pass: a pass of 10 s.
FOLLOWED = dataclasses.replace(
    FACTS, steps=100, steps_per_pass=10, shards=24, follower_workers=3, variant_seconds=20.0
)


def test_a_follower_at_half_the_speed_needs_twice_the_workers():
    """20 s are 24 / 3 = 8 rounds; 4 fit into a pass of 10 s, and 24 / 4 = 6. Without 100 of 200 s
    it is twice as fast.
    """
    found = run_verdict(STEPS, run(steps=90.0, input_wait=10.0, variant=100.0), FOLLOWED, [])
    assert found.kind is Kind.INPUT
    assert verdict(found).startswith(
        "Input-bound: 50% of the run's time, 100 s, went to waiting for the next variant from "
        "`preprocess follow`; it builds a variant in 20 s with 3 worker(s), and a pass takes 10 s"
    )
    assert found.advice[0].values == {"more": 3, "workers": 6}
    assert advice_line(found.advice[0]).endswith("at most 2.0 x as fast")


def test_validation_and_saving_are_time_that_the_follower_has_too():
    """50 s more in 10 passes: 6 of the rounds of 2.5 s fit into 15 s, and 24 / 6 = 4."""
    spent = run(steps=100.0, validation=40.0, saving=10.0, variant=100.0)
    assert run_verdict(STEPS, spent, FOLLOWED, []).advice[0].values["workers"] == 4


@pytest.mark.parametrize("seconds", [9.0, 10.1])
def test_a_follower_that_is_fast_enough_has_to_start_sooner(seconds):
    facts = dataclasses.replace(FOLLOWED, variant_seconds=seconds)
    found = run_verdict(STEPS, run(steps=100.0, variant=100.0), facts, [])
    assert found.advice[0].remedy == "follow_sooner"


def test_without_a_measured_follower_no_number_is_given():
    facts = dataclasses.replace(FOLLOWED, follower_workers=0, variant_seconds=0.0)
    found = run_verdict(STEPS, run(steps=100.0, variant=100.0), facts, [])
    assert found.advice[0].remedy == "measure_follower"
    assert "it has not yet measured how long a variant takes" in advice_line(found.advice[0])
    assert "it builds a variant" not in verdict(found)


@pytest.mark.parametrize(("shards", "needed"), [(4, 4), (7, 7), (10, 5), (16, 6)])
def test_shards_are_built_whole(shards, needed):
    """With 3 workers 4 shards are 2 rounds of 10 s, 7 are 3 of 6.7 s, 10 are 4 of 5 s, of which 2
    fit into 10 s, and 16 are 6 of 3.3 s, of which 3 fit.
    """
    facts = dataclasses.replace(FOLLOWED, shards=shards)
    found = run_verdict(STEPS, run(steps=100.0, variant=100.0), facts, [])
    assert found.advice[0].values == {"more": needed - 3, "workers": needed}


def test_a_shard_that_takes_longer_than_a_pass_needs_more_shards():
    """3 shards of 20 s are 60 s of work, for passes of 10 s."""
    facts = dataclasses.replace(FOLLOWED, shards=3)
    found = run_verdict(STEPS, run(steps=100.0, variant=100.0), facts, [])
    assert found.advice[0].remedy == "more_followers_and_shards"
    assert "--shards=6" in advice_line(found.advice[0])


def test_little_waiting_keeps_the_verdict_of_the_steps():
    assert run_verdict(STEPS, run(steps=100.0, variant=20.0), FOLLOWED, []) is STEPS


def test_what_costs_more_goes_first():
    found = run_verdict(STEPS, run(steps=100.0, variant=50.0, validation=90.0), FOLLOWED, [])
    assert found.kind is Kind.VALIDATION
