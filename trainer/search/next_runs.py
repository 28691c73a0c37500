"""Which runs a search still wants: pure functions of the space and of the runs there are."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any

from preprocess.shell.json_text import JsonObject
from trainer.search.noise import Point, best_of, summarise
from trainer.search.search_run import FAILED, RUNNING, WAITING, Run, identity, points_of
from trainer.search.space import GRID, Params, Range, Space


@dataclasses.dataclass(frozen=True)
class Stage:
    """A stage as far as it has come: the keys it varies, its points, its best one."""

    keys: tuple[str, ...]
    points: list[Params]
    best: Point | None  # None where no point of it is finished


@dataclasses.dataclass(frozen=True)
class Plan:
    """Where a search stands.

    Attributes:
      stages: those begun; a space that is sampled has one.
      missing: (params, repeat) of runs that do not exist yet, in the order they should.
      complete: whether every run that the space asks for is over (a sampled space: never).
    """

    stages: list[Stage]
    missing: list[tuple[Params, int]]
    complete: bool


def plan(space: Space, start: Params, runs: Sequence[Run], repeats: int) -> Plan:
    """What there is to do.

    Args:
      space: the space, its metric filled in.
      start: the searched keys' values in the configuration.
      runs: all runs of the study.
      repeats: runs of each point.
    """
    if space.sampler != GRID:
        return _sampled(space, runs, repeats)
    known = {(identity(run.params), run.repeat): run for run in runs}
    stages: list[Stage] = []
    best = dict(start)
    for domains in space.stages:
        points = [
            {**best, **dict(zip(domains, values, strict=True))}
            for values in itertools.product(*_choices(domains))
        ]
        # All points once before any is repeated: a search cut short has seen them all.
        wanted = [(params, repeat) for repeat in range(repeats) for params in points]
        missing = _missing(wanted, runs)
        mine = [known[key] for pair in wanted if (key := (identity(pair[0]), pair[1])) in known]
        winner = best_of(summarise(points, mine, space.greater))
        stages.append(Stage(tuple(domains), points, winner))
        if missing or any(run.state in (WAITING, RUNNING) for run in mine):
            return Plan(stages, missing, complete=False)
        if winner is None:
            return Plan(stages, [], complete=True)  # a stage without a result ends the search
        best = winner.params
    return Plan(stages, [], complete=True)


def expected_runs(space: Space, start: Params, repeats: int, limit: int) -> int:
    """Runs in all: a grid's own number or `limit`, whichever is less; 0 = no limit."""
    if space.sampler != GRID:
        return limit
    points = 0
    for number, domains in enumerate(space.stages):
        points += math.prod(len(values) for values in _choices(domains))
        # The best point so far is a point of the next stage, where its values are among those.
        kept = all(start[key] in values for key, values in domains.items())  # type: ignore[operator]
        points -= number > 0 and kept
    return min(points * repeats, limit) if limit else points * repeats


def _sampled(space: Space, runs: Sequence[Run], repeats: int) -> Plan:
    """Repeats of the points drawn so far are missing; new points are the sampler's to draw."""
    points = points_of(runs)
    wanted = [(params, repeat) for params in points for repeat in range(repeats)]
    winner = best_of(summarise(points, runs, space.greater))
    stage = Stage(tuple(space.keys), points, winner)
    return Plan([stage], _missing(wanted, runs), complete=False)


def _missing(wanted: list[tuple[Params, int]], runs: Sequence[Run]) -> list[tuple[Params, int]]:
    """What of `wanted` is no run yet; a point that failed once is not tried again."""
    known = {(identity(run.params), run.repeat) for run in runs}
    failed = {identity(run.params) for run in runs if run.state == FAILED}
    return [
        (params, repeat)
        for params, repeat in wanted
        if (identity(params), repeat) not in known and identity(params) not in failed
    ]


def _choices(domains: JsonObject) -> list[tuple[Any, ...]]:
    return [values for values in domains.values() if not isinstance(values, Range)]
