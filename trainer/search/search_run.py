"""One run of a search, as every part of it sees it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from trainer.search.space import Params

WAITING, RUNNING, FINISHED, FAILED = "waiting", "running", "finished", "failed"


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of one point.

    Attributes:
      number: counted from 0; names its folder.
      params: the searched keys with their values.
      repeat: counted from 0; its seed is that many above the configuration's.
      state: WAITING, RUNNING, FINISHED or FAILED.
      value: of the metric, where finished.
      interval: [low, high], 95 %, of the value by the records measured on, if there is one.
      seconds: of training, where finished.
      reason: why it failed, or ''.
    """

    number: int
    params: Params
    repeat: int
    state: str
    value: float | None = None
    interval: tuple[float, float] | None = None
    seconds: float | None = None
    reason: str = ""

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.number:03d}"


def identity(params: Params) -> tuple[tuple[str, Any], ...]:
    """Equal for two points that are the same."""
    return tuple(sorted(params.items()))


def points_of(runs: Iterable[Run]) -> list[Params]:
    """The different points that there are runs of, in the order of the runs."""
    return list({identity(run.params): run.params for run in runs}.values())


def params_text(params: Params) -> str:
    """`model.scale=0.5, batch_size=64`, for people."""
    return ", ".join(f"{key}={value_text(value)}" for key, value in params.items())


def value_text(value: Any) -> str:
    """A value for people: 1 and not 1.0."""
    return f"{value:g}" if isinstance(value, float) else str(value)
