"""Where the wall-clock time of a run went, over all its attempts, and its goodput.

Goodput is the share of the time in steps that were kept, less what they waited for their input, as
in Google's "ML Productivity Goodput" (2024). The seconds of all kinds add up to the whole:

    start ... report     as in trainer.monitoring.timeline.Activity, `steps` without what follows
    input_wait           of the steps that were kept: waiting for their input
    host                 likewise: Python between them
    redone_steps         steps that an attempt had done after the state that the next one began with
    between_attempts     from when an attempt was last seen to the start of the next
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from preprocess.shell.regular_files import read_regular
from trainer.monitoring.timeline import Activity, read_note

INPUT_WAIT, HOST = "input_wait", "host"
REDONE, BETWEEN = "redone_steps", "between_attempts"
KINDS = (*(a.value for a in Activity if a is not Activity.END), INPUT_WAIT, HOST, REDONE, BETWEEN)
MAX_BYTES = 1 << 30


class Moment(NamedTuple):
    """A line of a timeline: which activity begins, and how far the steps are by then."""

    at: float
    activity: Activity
    step: int | None = None
    waited: float = 0.0
    host: float = 0.0


@dataclasses.dataclass(frozen=True)
class Attempt:
    """One process of a worker, from its start to its end.

    Attributes:
      moments: in the order of time; the first is its start.
      end: when it ended, or was last seen.
      finished: whether the run was over with it: what follows is another wish, not a wait.
      memory_kills: what its control group had killed for memory when it started; None = unknown.
    """

    moments: tuple[Moment, ...]
    end: float
    finished: bool = False
    memory_kills: int | None = None

    @property
    def start(self) -> float:
        """When its process began."""
        return self.moments[0].at

    @property
    def first_step(self) -> int | None:
        """The step of the state that it began with; None if it never came so far."""
        return next((m.step for m in self.moments if m.step is not None), None)

    @property
    def last_step(self) -> int:
        """How far it came."""
        return max((m.step for m in self.moments if m.step is not None), default=0)

    def intervals(self) -> Iterator[tuple[Moment, Moment]]:
        """Each moment with the next, the last one with the end."""
        last = self.moments[-1]
        yield from itertools.pairwise([*self.moments, last._replace(at=max(self.end, last.at))])


@dataclasses.dataclass(frozen=True)
class RunTime:
    """The account of a run.

    Attributes:
      wall_seconds: from the start of the first attempt to the end of the last.
      seconds: by kind, of KINDS; only what there was.
      attempts: how many.
      redone_steps: steps done twice, or more often.
      first_attempt: seconds by kind of the first attempt alone: what every start costs.
      saves: how many states were written.
      step_saves, step_save_seconds: of these, those between two steps, whose interval is set.
      step_wait_seconds: between two steps, waiting until the state before was on the disk.
      validations: how many there were.
      memory_kills: processes that were killed for memory before an attempt was followed by another.
    """

    wall_seconds: float
    seconds: Mapping[str, float]
    attempts: int
    redone_steps: int
    first_attempt: Mapping[str, float] = dataclasses.field(default_factory=dict)
    saves: int = 0
    memory_kills: int = 0
    step_saves: int = 0
    step_save_seconds: float = 0.0
    step_wait_seconds: float = 0.0
    validations: int = 0

    @property
    def goodput(self) -> float | None:
        """The share of the time in steps that were kept, less their waiting; None = no time."""
        good = self.seconds.get(Activity.STEPS, 0.0) + self.seconds.get(HOST, 0.0)
        return good / self.wall_seconds if self.wall_seconds > 0 else None

    def as_json(self) -> dict[str, object]:
        """`time` of report.json."""
        return {
            "wall_seconds": self.wall_seconds,
            "goodput": self.goodput,
            "seconds": dict(self.seconds),
            "attempts": self.attempts,
            "redone_steps": self.redone_steps,
        }


def account(attempts: Sequence[Attempt]) -> RunTime:
    """The account of one worker's attempts, in their order."""
    seconds = dict.fromkeys(KINDS, 0.0)
    first: dict[str, float] = {}
    redone = 0
    for at, attempt in enumerate(attempts):
        later = attempts[at + 1 :]
        begun = [each.first_step for each in later if each.first_step is not None]
        kept = min(begun, default=attempt.last_step)
        redone += max(0, attempt.last_step - max(kept, attempt.first_step or 0))
        for moment, following in attempt.intervals():
            _add_interval(seconds, moment, following, kept)
        if at == 0:
            first = dict(seconds)
        if later and not attempt.finished:
            seconds[BETWEEN] += max(0.0, later[0].start - attempt.end)
    moments = [moment for attempt in attempts for moment in attempt.moments]
    between = [pair for attempt in attempts for pair in _between_steps(attempt)]
    step_saves = [seconds for activity, seconds in between if activity is Activity.SAVING]
    step_waits = [seconds for activity, seconds in between if activity is Activity.WRITING]
    present = {kind: value for kind, value in seconds.items() if value > 0}
    return RunTime(
        math.fsum(present.values()),
        present,
        len(attempts),
        redone,
        first,
        sum(m.activity is Activity.SAVING for m in moments),
        sum(itertools.starmap(_killed_between, itertools.pairwise(attempts))),
        len(step_saves),
        math.fsum(step_saves),
        math.fsum(step_waits),
        sum(m.activity is Activity.VALIDATION for m in moments),
    )


def _between_steps(attempt: Attempt) -> Iterator[tuple[Activity, float]]:
    """What came between two steps, and not at the end of an epoch or of an attempt that ended
    itself, which waits for the disk however far apart the saves are; with its seconds.
    """
    before, last = Activity.START, attempt.moments[-1]
    ended = last.activity in (Activity.CLOSING, Activity.REPORT, Activity.END)
    for moment, following in attempt.intervals():
        waits = moment.activity is Activity.WRITING
        at_the_end = ended and waits and (moment.step or 0) >= (last.step or 0)
        if before is Activity.STEPS and not at_the_end:
            yield moment.activity, max(0.0, following.at - moment.at)
        before = moment.activity


def _killed_between(attempt: Attempt, following: Attempt) -> int:
    """Kills that the control group counted; a new container counts from zero."""
    if attempt.memory_kills is None or following.memory_kills is None:
        return 0
    return max(0, following.memory_kills - attempt.memory_kills)


def _add_interval(seconds: dict[str, float], moment: Moment, following: Moment, kept: int) -> None:
    """Adds what passed between two moments; of steps, those after `kept` were done again."""
    passed = max(0.0, following.at - moment.at)
    if moment.activity is Activity.END:
        return
    if moment.activity is not Activity.STEPS:
        seconds[moment.activity.value] += passed
        return
    before, after = moment.step or 0, following.step or 0
    share = 0.0 if after <= kept else 1.0
    if before < kept < after:
        share = (after - kept) / (after - before)
    wait, host = following.waited - moment.waited, following.host - moment.host
    # The loop's clock may move a wait of an earlier call into a later one.
    wait = min(max(0.0, wait), passed)
    host = min(max(0.0, host), passed - wait)
    seconds[REDONE] += share * passed
    seconds[INPUT_WAIT] += (1 - share) * wait
    seconds[HOST] += (1 - share) * host
    seconds[Activity.STEPS.value] += (1 - share) * (passed - wait - host)


def read_attempts(path: Path, now: float | None = None) -> list[Attempt]:
    """The attempts in a timeline file; [] if there is none.

    Args:
      path: RUN/timeline/worker-N.jsonl.
      now: the end of an attempt that is under way, in seconds since 1970; None = when its worker
        was last seen.

    Raises:
      OSError: the file cannot be read.
    """
    try:
        text = read_regular(path, MAX_BYTES).decode("utf-8", "replace")
    except FileNotFoundError:
        return []
    attempts: list[Attempt] = []
    lines: list[Mapping[str, object]] = []
    for line in text.splitlines():
        fields = _fields(line)
        if fields is None:
            continue  # torn by a kill, or written over by something else
        if fields.get("attempt") and lines:
            attempts.append(_attempt(lines, fields.get("before")))
            lines = []
        lines.append(fields)
    if lines:
        last = read_note(path)
        attempts.append(_attempt(lines, last, now))
    return attempts


def _attempt(
    lines: Sequence[Mapping[str, object]], seen: object, now: float | None = None
) -> Attempt:
    """One attempt; of one that did not end, `seen` is the note of its last moment."""
    moments = [_moment(fields) for fields in lines]
    kills = lines[0].get("memory_kills")
    kills = kills if isinstance(kills, int) else None
    if moments[-1].activity is Activity.END:
        return Attempt(tuple(moments), moments[-1].at, bool(lines[-1].get("finished")), kills)
    if isinstance(seen, dict) and (note := _checked(seen)):
        last = _moment(note)
        if last.at >= moments[-1].at:
            moments.append(last)
    return Attempt(tuple(moments), max(moments[-1].at, now or 0.0), memory_kills=kills)


def _fields(line: str) -> dict[str, object] | None:
    try:
        return _checked(json.loads(line))
    except (ValueError, RecursionError):
        return None


def _checked(fields: object) -> dict[str, object] | None:
    """What a line must have to be one: a moment and an activity."""
    if not isinstance(fields, dict) or fields.get("activity") not in set(Activity):
        return None
    at = fields.get("at")
    return fields if isinstance(at, (int, float)) and math.isfinite(at) else None


def _moment(fields: Mapping[str, object]) -> Moment:
    def figure(name: str) -> float:
        value = fields.get(name)
        return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else 0.0

    step = fields.get("step")
    return Moment(
        at=figure("at"),
        activity=Activity(str(fields["activity"])),
        step=step if isinstance(step, int) else None,
        waited=figure("waited"),
        host=figure("host"),
    )
