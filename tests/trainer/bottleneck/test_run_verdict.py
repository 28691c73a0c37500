"""What is not in a step goes first where it takes more than the steps wait."""

import dataclasses
import math

import pytest

from trainer.bottleneck.bottleneck import Advice, Bottleneck, Kind, Source
from trainer.bottleneck.evidence import InputWait, StepIsTheLimit
from trainer.bottleneck.intervals import RunFacts
from trainer.bottleneck.run_caveats import with_caveats
from trainer.bottleneck.run_verdict import run_verdict
from trainer.bottleneck.sentences import advice_line, as_json, caveats, verdict
from trainer.monitoring.memory_pressure import REREAD, STALLED
from trainer.monitoring.processor import THROTTLED, WANTED
from trainer.monitoring.time_account import BETWEEN, INPUT_WAIT, REDONE, RunTime

STEPS = Bottleneck(
    Kind.COMPUTE,
    Source.LOOP,
    shares={"model": 0.9},
    evidence=(InputWait(0.01), StepIsTheLimit()),
    advice=(Advice("diagnose"),),
)
FACTS = RunFacts(step_seconds=0.1, save_every=20, cpu_replicas=0, cores=4)


def run(first=None, attempts=1, saves=0, redone=0, at_epochs=0.0, validations=0, **seconds):
    """`at_epochs` = seconds of the saves that were not between steps."""
    return RunTime(
        sum(seconds.values()),
        seconds,
        attempts,
        redone,
        first or seconds,
        saves,
        step_saves=saves,
        step_save_seconds=seconds.get("saving", 0.0) - at_epochs,
        validations=validations,
    )


def test_saves_that_take_three_quarters_of_a_run_go_before_its_steps():
    """160 of 214 s in 100 saves, 1.6 s each: 2 % of the time is one every 80 s, 800 steps. Of the
    75 % then 20/800 are left, so 1 / (1 - 0.748 + 0.0187) = 3.69 times as fast.
    """
    spent = run(start=10.0, steps=44.0, saving=160.0, saves=100)
    found = run_verdict(STEPS, spent, FACTS, [])
    assert found.kind is Kind.SAVING
    assert found.advice[0].change == {"checkpoint.every_steps": "800"}
    assert found.advice[0].gain == pytest.approx(3.69, abs=0.01)
    assert found.shares == {"model": 0.9}
    assert verdict(found) == (
        "Held up by saving: 75% of the run's time, 160 s, went to saving; its steps took 44 s. "
        "Its steps: Compute-bound: 1.0% of step time was spent waiting for input; the step itself "
        "is the limit."
    )
    assert as_json(found)["kind"] == "saving"


def test_saves_at_the_end_of_an_epoch_stay():
    """Of 160 s those between steps take 96, 0.96 s each, so that one every 480 steps is enough: of
    them 460 / 480 go, of 214 s of the run.
    """
    spent = run(start=10.0, steps=44.0, saving=160.0, saves=100, at_epochs=64.0)
    found = run_verdict(STEPS, spent, FACTS, [])
    assert found.advice[0].gain == pytest.approx(1 / (1 - 96 / 214 * 460 / 480))
    assert advice_line(found.advice[0]).endswith(": the whole run 1.8 x as fast")
    spent = run(start=10.0, steps=44.0, saving=160.0, saves=100, at_epochs=96.0)
    found = run_verdict(STEPS, spent, FACTS, [])
    assert found.advice[0].remedy == "beside_saving"
    assert advice_line(found.advice[0]).endswith(": the whole run at most 4.0 x as fast")


def test_saves_that_wait_for_the_state_before_are_put_further_apart():
    """Every 20 steps of 0.1 s, each of 20 saves waits 7.8 s and copies 0.01: writing takes 9.8 s,
    so 1.25 * 98 = 122.5 steps are rounded to 120. All 156 s of waiting go, and of 0.2 s of copies
    20 / 120 stay, of 250 s of the run.
    """
    spent = run(start=20.0, steps=40.0, saving=0.2, writing=156.0, other=33.8, saves=20)
    spent = dataclasses.replace(spent, step_wait_seconds=156.0)
    found = run_verdict(STEPS, spent, FACTS, [])
    assert found.kind is Kind.SAVING
    assert found.advice[0].change == {"checkpoint.every_steps": "120"}
    assert found.advice[0].gain == pytest.approx(250 / (250 - 156 - 0.2 * 5 / 6))
    assert "156 s, went to saving" in verdict(found)
    # Where the last state of each epoch is what is waited for, the interval does not matter.
    ends = dataclasses.replace(spent, step_wait_seconds=16.0)
    assert run_verdict(STEPS, ends, FACTS, []).advice[0].remedy == "beside_saving"


def test_validations_are_put_as_far_apart_as_a_tenth_of_the_rest_allows():
    """20 of 5 s beside 100 s: the rest pays 2, every 10 of 20 epochs, which saves 90 s of 200, and
    of 5 in the report. By steps likewise: every 200 of 400.
    """
    spent = run(steps=100.0, validation=100.0, validations=20)
    facts = dataclasses.replace(FACTS, steps=400, epochs=20, validate_epochs=1)
    found = run_verdict(STEPS, spent, facts, [])
    assert found.kind is Kind.VALIDATION
    assert found.advice[0].change == {"validation.every_epochs": "10"}
    assert found.advice[0].gain == pytest.approx(205 / 115)
    facts = dataclasses.replace(facts, validate_epochs=0, validate_steps=20)
    found = run_verdict(STEPS, spent, facts, [])
    assert found.advice[0].change == {"validation.every_steps": "200"}
    assert found.advice[0].gain == pytest.approx(205 / 115)
    one = run(steps=100.0, validation=100.0, validations=1)
    facts = dataclasses.replace(FACTS, steps=400, epochs=1, validate_epochs=1)
    assert run_verdict(STEPS, one, facts, []).advice[0].remedy == "beside_validation"


def test_saves_between_faults_are_as_far_apart_as_young_says():
    """C = 2 s, M = 800 s (three faults in 2,400 s): sqrt(2 * 2 * 800) = 56.6 s, 570 steps."""
    spent = run(first={}, attempts=4, saves=400, steps=1600.0, saving=800.0)
    found = run_verdict(STEPS, spent, FACTS, [])
    assert found.advice[0].change == {"checkpoint.every_steps": "570"}


@pytest.mark.parametrize(
    ("seconds", "kind"),
    [
        ({"steps": 100.0, "validation": 200.0}, Kind.VALIDATION),
        ({"steps": 100.0, "validation": 20.0, "start": 10.0}, Kind.COMPUTE),
        ({"steps": 5.0, "validation": 10.0, "start": 10.0}, Kind.COMPUTE),  # seconds: nobody asks
        ({"steps": 43.0, "start": 70.0, "table": 12.0}, Kind.START),
        ({"steps": 43.0, "start": 12.0, "table": 90.0}, Kind.TABLE),
        ({"steps": 12.0, "start": 20.0}, Kind.COMPUTE),  # a trial run is mostly its start
        ({"steps": 60.0, INPUT_WAIT: 300.0, "validation": 200.0}, Kind.COMPUTE),
    ],
)
def test_the_largest_part_is_named_where_it_is_large(seconds, kind):
    found = run_verdict(STEPS, run(**seconds), FACTS, [])
    assert found.kind is kind
    assert (found is STEPS) == (kind is Kind.COMPUTE)


def test_what_faults_cost_is_their_waiting_their_starts_and_what_is_done_again():
    """Of the starts those after the first."""
    spent = run(
        first={"start": 20.0}, attempts=3, saves=2, redone=900,
        start=60.0, steps=100.0, **{BETWEEN: 20.0, REDONE: 90.0},
    )  # fmt: skip
    found = run_verdict(STEPS, spent, FACTS, [])
    assert found.kind is Kind.RESTARTS
    assert found.evidence[0].seconds == 150
    assert "restarts: waiting for them, starting again, steps done twice" in verdict(found)


def test_redone_steps_ask_for_more_saves_where_these_are_cheap():
    """C = 0.5 s in one save, M = 160 s: sqrt(160) = 12.6 s, 130 steps instead of 5,000."""
    spent = run(first={}, attempts=2, saves=1, redone=900, steps=60.0, saving=0.5, **{REDONE: 99.5})
    facts = RunFacts(step_seconds=0.1, save_every=5000, cpu_replicas=0, cores=4)
    found = run_verdict(STEPS, spent, facts, [])
    assert found.advice[0].change == {"checkpoint.every_steps": "130"}


HALF_A_CORE = RunFacts(
    step_seconds=0.1, save_every=0, cpu_replicas=2, cores=0.5, images_per_second=100.0
)
HELD_BACK = [{THROTTLED: 0.99, WANTED: 3.0}, {THROTTLED: 0.98, WANTED: 1.53}]


def test_a_container_that_is_held_back_is_throttled_whatever_its_steps_look_like():
    """It stands still for 1 - 0.5 / 1.53 of 98 % of the time: 1 / (1 - 0.660) = 2.94."""
    found = run_verdict(STEPS, run(steps=100.0), HALF_A_CORE, HELD_BACK)
    assert found.kind is Kind.THROTTLED
    assert "may use 0.5 cores" in verdict(found)
    assert advice_line(found.advice[0]) == (
        "raise the container's CPU limit to 1.6 cores: 294 images/s, 2.9 x"
    )
    found = run_verdict(STEPS, run(steps=100.0), HALF_A_CORE, [{THROTTLED: 0.99, WANTED: None}])
    assert advice_line(found.advice[0]) == "raise the container's CPU limit"


@pytest.mark.parametrize(
    ("seconds", "kind"),
    [
        ({"steps": 30.0, "start": 90.0}, Kind.THROTTLED),  # whose start is slow for it
        ({"steps": 60.0, "validation": 60.0}, Kind.THROTTLED),
        ({"steps": 20.0, "validation": 60.0}, Kind.VALIDATION),
    ],
)
def test_what_slows_down_everything_is_weighed_against_what_is_beside_the_steps(seconds, kind):
    """It costs 66 % of the time."""
    assert run_verdict(STEPS, run(**seconds), HALF_A_CORE, HELD_BACK).kind is kind


def waits(*fractions):
    return [{"input_wait_fraction": fraction} for fraction in fractions]


@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        (waits(0.8, 0.4, 0.01, 0.02), Kind.INPUT),
        (waits(0.8, 0.4, 0.01, 0.3), Kind.COMPUTE),  # it still waits
        (waits(0.8), Kind.COMPUTE),
        ([], Kind.COMPUTE),
    ],
)
def test_a_first_pass_that_waited_is_told_from_a_slow_input(rows, kind):
    """50 of 100 s, less 1.5 % of the 90 s in steps that the later epochs wait, too."""
    spent = run(start=10.0, steps=40.0, **{INPUT_WAIT: 50.0})
    found = run_verdict(STEPS, spent, FACTS, rows)
    assert found.kind is kind
    if kind is Kind.INPUT:
        assert found.evidence[0].seconds == pytest.approx(50 - 0.015 * 90)
        assert "its first epochs waited for their input; the later ones hardly do" in verdict(found)
        assert found.advice[0].remedy == "cold_pass"


@pytest.mark.parametrize(("table", "kind"), [(True, Kind.TABLE), (False, Kind.INPUT)])
def test_a_first_batch_waits_for_the_image_table_only_where_there_is_one(table, kind):
    spent = run(steps=40.0, table=70.0, **{INPUT_WAIT: 10.0})
    facts = dataclasses.replace(FACTS, table=table)
    assert run_verdict(STEPS, spent, facts, waits(0.3, 0.0)).kind is kind


def test_slow_work_at_the_end_of_epochs_is_overhead():
    found = run_verdict(STEPS, run(steps=40.0, callbacks=60.0), FACTS, [])
    assert found.kind is Kind.OVERHEAD
    assert verdict(found).startswith("Overhead-bound: 60% of the run's time, 60 s, went to Tensor")
    assert found.advice[0].remedy == "beside_callbacks"


def test_workers_that_share_cores_are_counted_together():
    facts = RunFacts(step_seconds=0.1, save_every=0, cpu_replicas=1, cores=1, workers=2)
    steps = dataclasses.replace(STEPS, shares={"model": 0.6, "collective": 0.4})
    found = run_verdict(steps, run(steps=100.0), facts, [])
    assert found.kind is Kind.OVERSUBSCRIBED
    assert verdict(found).startswith("Oversubscribed: 2 replicas of 2 workers of this run share 1")
    assert advice_line(found.advice[0]) == (
        "train with 1 worker(s) of this run on these cores, or give each its own: the whole run at "
        "most 1.7 x as fast"
    )
    facts = dataclasses.replace(facts, cores=2)
    assert run_verdict(steps, run(steps=100.0), facts, []) is steps


@pytest.mark.parametrize("rows", [[], [{THROTTLED: None}], [{THROTTLED: 0.1}]])
def test_more_replicas_than_cores_are_said(rows):
    facts = RunFacts(step_seconds=math.nan, save_every=0, cpu_replicas=2, cores=1)
    found = run_verdict(STEPS, run(steps=100.0), facts, rows)
    assert found.kind is Kind.OVERSUBSCRIBED
    assert found.advice[0].change == {"virtual_replicas": "1"}
    facts = RunFacts(step_seconds=math.nan, save_every=0, cpu_replicas=2, cores=2)
    assert run_verdict(STEPS, run(steps=100.0), facts, rows) is STEPS


def test_as_many_replicas_are_advised_as_the_batch_allows():
    """Of 3 cores 2, as 32 is no multiple of 3."""
    facts = RunFacts(
        step_seconds=math.nan, save_every=0, cpu_replicas=4, cores=3, replicas_divide=32
    )
    found = run_verdict(STEPS, run(steps=100.0), facts, [])
    assert found.advice[0].change == {"virtual_replicas": "2"}


def test_restarts_after_kills_for_memory_are_a_want_of_memory():
    spent = dataclasses.replace(
        run(first={}, attempts=3, saves=2, start=10.0, steps=50.0, **{BETWEEN: 30.0}),
        memory_kills=2,
    )
    found = run_verdict(STEPS, spent, FACTS, [])
    assert found.kind is Kind.MEMORY
    assert verdict(found).startswith(
        "Short of memory: the memory limit killed a process 2 times, and 33% of the run's time "
        "went to starting again"
    )
    assert found.advice[0].remedy == "more_memory"


def test_a_kill_for_memory_is_told_where_something_else_is_first():
    """The restart took 5 of 105 s."""
    spent = dataclasses.replace(run(steps=100.0, **{BETWEEN: 5.0}), memory_kills=1)
    found = run_verdict(STEPS, spent, FACTS, [])
    assert found.kind is Kind.COMPUTE
    assert caveats(with_caveats(found, [])) == [
        "The memory limit killed a process once, and 5% of the run's time went to starting again "
        "and to steps done twice."
    ]
    assert found.advice[-1].remedy == "more_memory"


@pytest.mark.parametrize(
    ("seconds", "kind"),
    [
        ({"start": 4.0, "steps": 8.0, BETWEEN: 6.0}, Kind.MEMORY),
        ({"start": 90.0, "steps": 10.0, BETWEEN: 50.0}, Kind.MEMORY),
        ({"start": 1.0, "steps": 10.0, "validation": 90.0, BETWEEN: 50.0}, Kind.VALIDATION),
    ],
)
def test_kills_for_memory_are_named_in_a_short_run_too(seconds, kind):
    """A third of the time each."""
    first = {"start": seconds["start"]}
    spent = dataclasses.replace(run(first=first, attempts=2, **seconds), memory_kills=1)
    assert run_verdict(STEPS, spent, FACTS, []).kind is kind


@pytest.mark.parametrize(("stalled", "kind"), [(0.3, Kind.MEMORY), (0.05, Kind.COMPUTE)])
def test_waiting_for_memory_is_named_from_a_tenth_of_the_time_on(stalled, kind):
    found = run_verdict(STEPS, run(steps=100.0), FACTS, [{STALLED: stalled}])
    assert found.kind is kind
    assert ("30% of the time something" in verdict(found)) == (kind is Kind.MEMORY)


INPUT_BOUND = dataclasses.replace(STEPS, kind=Kind.INPUT, evidence=(InputWait(0.6, "storage"),))
DROPPED = {REREAD: 0.8}


def test_a_dataset_that_the_memory_limit_drops_between_passes_is_named():
    """60 of 120 s are waited, 80 % of it for what had been there: 1 / (1 - 0.4) = 1.67 times."""
    spent = run(start=20.0, steps=40.0, **{INPUT_WAIT: 60.0})
    facts = dataclasses.replace(FACTS, dataset_bytes=1_230_000_000, memory_limit=2_000_000_000)
    found = run_verdict(INPUT_BOUND, spent, facts, [{REREAD: 0.0}, DROPPED, DROPPED])
    assert found.kind is Kind.MEMORY
    assert verdict(found).startswith(
        "Short of memory: 80% of what was read from storage had been in memory before, and was "
        "dropped for the memory limit of 2.0 GB; steps waited 50% of the run's time for their "
        "input. Its steps: Input-bound: "
    )
    assert advice_line(found.advice[0]) == (
        "raise the container's memory limit by up to 1.3 GB, so that the dataset stays in memory "
        "between passes, or build it with a smaller --image_size: the whole run at most 1.7 x as "
        "fast"
    )
    unknown = run_verdict(INPUT_BOUND, spent, FACTS, [DROPPED])
    assert unknown.advice[0].remedy == "more_memory"


@pytest.mark.parametrize(("waited", "reread"), [(60.0, None), (60.0, 0.1), (8.0, 0.8), (0.0, 0.8)])
def test_steps_that_do_not_wait_for_what_was_dropped_keep_their_verdict(waited, reread):
    spent = run(start=20.0, steps=40.0, **{INPUT_WAIT: waited})
    assert run_verdict(INPUT_BOUND, spent, FACTS, [{REREAD: reread}]).kind is Kind.INPUT


def test_a_short_run_of_which_less_than_half_is_steps_is_told_where_the_rest_went():
    """93 s with 43 s of steps: no part is half of it, or 30 s of what comes back again."""
    spent = run(start=14.0, table=20.0, steps=43.0, validation=9.0, saving=0.5, report=6.5)
    found = run_verdict(STEPS, spent, FACTS, [])
    assert found.kind is Kind.TABLE
    assert verdict(found).startswith(
        "Held up by the image table: 46% of the run's time, 43 s, did not go to steps (building "
        "the image table 20 s, starting: imports, building, compiling 14 s, validation 9 s); its "
        "steps took 43 s. Its steps: Compute-bound: "
    )
    assert advice_line(found.advice[0]).endswith("the whole run at most 1.3 x as fast")
    # With as many more steps it is what every run takes.
    longer = run(start=14.0, table=20.0, steps=80.0, validation=9.0, saving=0.5, report=6.5)
    assert run_verdict(STEPS, longer, FACTS, []).kind is Kind.COMPUTE


def test_what_comes_back_is_named_beside_a_longer_start():
    """Of 550 s a start on a busy machine takes 230, less than half; saves take 26 %."""
    spent = run(start=230.0, steps=176.0, saving=0.5, writing=143.5, saves=20)
    spent = dataclasses.replace(spent, step_wait_seconds=120.0)
    assert run_verdict(STEPS, spent, FACTS, []).kind is Kind.SAVING


@pytest.mark.parametrize(
    "seconds",
    [
        {"start": 32.0, "steps": 38.0},  # one part alone: below half of the run
        {"start": 32.0, "table": 7.0, "steps": 44.0},  # and so is nearly all of it
        {"start": 20.0, "table": 15.0, INPUT_WAIT: 30.0, "steps": 12.0},  # the input costs more
    ],
)
def test_a_single_part_or_one_below_the_waiting_for_input_is_no_spread(seconds):
    found = run_verdict(STEPS, run(**seconds), FACTS, [])
    assert found.kind is STEPS.kind
