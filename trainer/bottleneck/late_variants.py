"""A training that waits for its follower: how much, and how many more workers would do."""

from __future__ import annotations

import math

from trainer.bottleneck.bottleneck import Advice, upper_gain
from trainer.bottleneck.evidence import LateVariants
from trainer.bottleneck.intervals import RunFacts
from trainer.bottleneck.thresholds import INPUT_HIGH
from trainer.monitoring.time_account import HOST, INPUT_WAIT, REDONE, RunTime
from trainer.monitoring.timeline import Activity

# What the follower builds the next variant beside, pass after pass.
_PASS = (
    *(Activity.STEPS.value, HOST, INPUT_WAIT, REDONE),
    *(Activity.VALIDATION.value, Activity.SAVING.value, Activity.WRITING.value),
    Activity.CALLBACKS.value,
)
_ENOUGH = 1.02  # a variant that takes hardly longer than a pass is no reason for a worker more


def late_variants(spent: RunTime, facts: RunFacts) -> tuple[LateVariants, Advice] | None:
    """The finding and its remedy; None where waiting was less than INPUT_HIGH of the passes' time.

    Each shard is built by one worker, so S shards take w workers ceil(S / w) rounds: of v seconds a
    variant, each takes v / ceil(S / w). The fewest workers are wanted whose rounds fit into the p
    seconds of a pass. Where not even one does, the shards are too large.
    """
    waited = spent.seconds.get(Activity.VARIANT, 0.0)
    working = math.fsum(spent.seconds.get(name, 0.0) for name in _PASS)
    if not waited or waited < INPUT_HIGH * (waited + working):
        return None
    steps = facts.steps + spent.redone_steps
    a_pass = working / steps * facts.steps_per_pass if steps else 0.0
    share = waited / spent.wall_seconds
    workers, a_variant = facts.follower_workers, facts.variant_seconds
    found = LateVariants(share, waited, a_variant, a_pass, workers)
    gain = upper_gain(share)
    if not (a_pass and a_variant and workers):
        return found, Advice("measure_follower", gain=gain, of_run=True, at_most=True)
    if a_variant <= _ENOUGH * a_pass:
        return found, Advice("follow_sooner", gain=gain, of_run=True, at_most=True)
    shards = max(facts.shards, workers)
    a_round = a_variant / math.ceil(shards / workers)
    rounds = int(_ENOUGH * a_pass / a_round)
    if rounds:
        remedy, needed = "more_followers", math.ceil(shards / rounds)
    else:
        remedy = "more_followers_and_shards"
        needed = math.ceil(shards * a_round / a_pass / _ENOUGH)
    values = {"more": needed - workers, "workers": needed}
    return found, Advice(remedy, values, gain=gain, of_run=True, at_most=True)
