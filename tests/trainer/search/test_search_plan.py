"""What a search still wants."""

import dataclasses

from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.search.next_runs import expected_runs, plan
from trainer.search.search_run import FAILED, FINISHED, RUNNING, Run, identity
from trainer.search.space import parse_space

TWO_STAGES = dataclasses.replace(
    parse_space(
        """
        stages:
          - model.scale: [0.5, 1, 2]
          - model.embedding_size: [8, 16]
        """,
        "space",
    ),
    metric="val_triplet_accuracy",
)
START = {"model.scale": 1.0, "model.embedding_size": 16}


def finished(pairs, value):
    """Runs of (params, repeat) with the value that a function gives for the params."""
    return [
        Run(number, params, repeat, FINISHED, value=value(params))
        for number, (params, repeat) in enumerate(pairs)
    ]


def test_a_later_stage_keeps_the_best_of_the_earlier_and_does_nothing_twice():
    """Scale 2 is best, and the start's 16 was measured with it: 8 alone is new."""
    first = plan(TWO_STAGES, START, [], repeats=2)
    assert [(p["model.scale"], p["model.embedding_size"], r) for p, r in first.missing] == [
        (0.5, 16, 0), (1.0, 16, 0), (2.0, 16, 0), (0.5, 16, 1), (1.0, 16, 1), (2.0, 16, 1),
    ]  # fmt: skip
    runs = finished(first.missing, lambda params: params["model.scale"])
    second = plan(TWO_STAGES, START, runs, repeats=2)
    assert second.missing == [({"model.scale": 2.0, "model.embedding_size": 8}, r) for r in (0, 1)]
    assert second.stages[0].best.params["model.scale"] == 2.0
    runs = finished(
        [*first.missing, *second.missing],
        lambda params: params["model.scale"] - params["model.embedding_size"] / 100,
    )
    assert plan(TWO_STAGES, START, runs, repeats=2).complete


def test_a_stage_waits_for_the_runs_of_other_processes():
    wanted = plan(TWO_STAGES, START, [], repeats=1).missing
    runs = finished(wanted, lambda params: params["model.scale"])
    runs[1] = dataclasses.replace(runs[1], state=RUNNING, value=None)
    waits = plan(TWO_STAGES, START, runs, repeats=1)
    assert (waits.missing, waits.complete) == ([], False)


def test_a_point_that_failed_is_not_repeated_and_a_stage_of_failures_ends_the_search():
    wanted = plan(TWO_STAGES, START, [], repeats=1).missing
    failed = Run(0, wanted[0][0], 0, FAILED, reason="diverged")
    missing = plan(TWO_STAGES, START, [failed], repeats=3).missing
    assert all(identity(params) != identity(wanted[0][0]) for params, _ in missing)
    runs = [Run(n, params, repeat, FAILED) for n, (params, repeat) in enumerate(wanted)]
    ended = plan(TWO_STAGES, START, runs, repeats=1)
    assert ended.complete and not ended.missing and ended.stages[-1].best is None


def test_more_repeats_than_before_add_runs():
    wanted = plan(TWO_STAGES, START, [], repeats=1).missing
    runs = finished(wanted, lambda params: params["model.scale"])
    more = plan(TWO_STAGES, START, runs, repeats=2)
    assert [repeat for _, repeat in more.missing] == [1, 1, 1]


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from([0.25, 0.5, 1.0, 2.0, 4.0]), min_size=1, unique=True),
    st.lists(st.sampled_from([4, 8, 16, 32]), min_size=1, unique=True),
    st.integers(1, 3),
    st.randoms(use_true_random=False),
)
def test_any_grid_ends_with_each_point_and_repeat_once(scales, sizes, repeats, random):
    """Whatever the values found: |scales| points, then |sizes|, less one where the start's size
    is among them; each as often as `repeats` says; and never the same run twice.
    """
    space = dataclasses.replace(
        TWO_STAGES,
        stages=({"model.scale": tuple(scales)}, {"model.embedding_size": tuple(sizes)}),
    )
    runs = []
    while missing := plan(space, START, runs, repeats).missing:
        params, repeat = missing[0]
        runs.append(Run(len(runs), params, repeat, FINISHED, value=random.random()))
    state = plan(space, START, runs, repeats)
    assert state.complete
    expected = repeats * (len(scales) + len(sizes) - (16 in sizes))
    assert len(runs) == expected == expected_runs(space, START, repeats, 0)
    assert len({(identity(run.params), run.repeat) for run in runs}) == len(runs)


def test_a_sampled_space_wants_the_repeats_of_what_was_drawn():
    space = dataclasses.replace(TWO_STAGES, sampler="tpe", stages=({"model.scale": (0.5, 1.0)},))
    drawn = Run(0, {"model.scale": 0.5}, 0, FINISHED, value=0.5)
    state = plan(space, START, [drawn], repeats=3)
    assert state.missing == [({"model.scale": 0.5}, 1), ({"model.scale": 0.5}, 2)]
    assert not state.complete
