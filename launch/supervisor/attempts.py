"""The attempts of a run: its workers start together and, when one ends early, end together.

    FOLDER/000/rank-00000.log       the output of a rank in the first attempt
    FOLDER/000/rank-00000.json      when it started and ended, and its exit code
    FOLDER/000/life.json            the decision, written last
    FOLDER/follower.log, .json      the same of the follower, which lives as long as the run

The same on this machine and under Slurm, so that status, logs and `why` can read both.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from preprocess.shell.atomic import write_text
from preprocess.shell.errors import DataError
from preprocess.shell.regular_files import open_regular, read_json
from trainer.workers.supervisor.restart_policy import (
    FAIL,
    FINISHED,
    RETRY,
    RETRY_UNCOUNTED,
    Decision,
    decide,
    decide_independent,
    how_it_ended,
)

MAX_BYTES = 1 << 20  # of the file about a rank or an attempt
_NUMBER = re.compile(r"[0-9]{3,9}")
_Kind = TypeVar("_Kind")


@dataclasses.dataclass(frozen=True)
class RankStatus:
    """How a rank of an attempt ended; `exit_code` is None while it runs, or if it was lost."""

    rank: int
    pid: int
    started: float
    ended: float | None
    exit_code: int | None
    host: str = ""


class Attempts:
    """Reads and writes the folder of a run's attempts."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    def numbers(self) -> list[int]:
        """The numbers of the attempts, in order."""
        if not self.folder.is_dir():
            return []
        names = [path.name for path in self.folder.iterdir() if _NUMBER.fullmatch(path.name)]
        return sorted(map(int, names))

    def attempt(self, number: int) -> Path:
        """The folder of one attempt."""
        return self.folder / f"{number:03d}"

    def log(self, number: int, rank: int) -> Path:
        """The log of a rank in an attempt."""
        return self.attempt(number) / f"rank-{rank:05d}.log"

    def write_rank(self, number: int, end: RankStatus) -> None:
        """Records the status of a rank."""
        _write(self.attempt(number) / f"rank-{end.rank:05d}.json", dataclasses.asdict(end))

    def ranks(self, number: int) -> list[RankStatus]:
        """The status of an attempt's ranks, in order."""
        found = [_read(path) for path in sorted(self.attempt(number).glob("rank-*.json"))]
        return [status for fields in found if (status := _typed(RankStatus, fields))]

    @property
    def follower_log(self) -> Path:
        """The log of the follower next to the ranks."""
        return self.folder / "follower.log"

    def write_follower(self, end: RankStatus) -> None:
        """Records the status of the follower."""
        _write(self.folder / "follower.json", dataclasses.asdict(end))

    def follower(self) -> RankStatus | None:
        """The status of the follower; None if there was none."""
        return _typed(RankStatus, _read(self.folder / "follower.json"))

    def follower_state(self) -> str:
        """`running`, or how the follower ended and its last message; "" if there was none."""
        end = self.follower()
        if end is None or end.ended is None:
            return "running" if end else ""
        message = last_line(self.follower_log)
        how = how_it_ended(end.exit_code) if end.exit_code else "done with the run"
        return f"{how}, starts again" + (f": {message}" if message else "")

    def write_decision(self, number: int, decision: Decision) -> None:
        """Records the decision about an attempt."""
        _write(self.attempt(number) / "life.json", dataclasses.asdict(decision))

    def decision(self, number: int) -> Decision | None:
        """The decision about an attempt; None while it runs."""
        return _typed(Decision, _read(self.attempt(number) / "life.json"))

    def next(self) -> int:
        """The number of the next attempt."""
        return (self.numbers() or [-1])[-1] + 1

    def counted(self) -> int:
        """Counted restarts since the run was last started."""
        decisions = [self.decision(number) for number in self._since_start()]
        return sum(v is not None and v.action == RETRY for v in decisions)

    def uncounted(self) -> int:
        """Uncounted restarts, and earlier attempts that were cut short."""
        numbers = self._since_start()
        decisions = [(n, self.decision(n)) for n in numbers]
        return sum(
            n != numbers[-1] if v is None else v.action == RETRY_UNCOUNTED for n, v in decisions
        )

    def _since_start(self) -> list[int]:
        """The attempts after the last one that ended the run, except for the latest: the run was
        started again there, with its whole restart budget.
        """
        numbers = self.numbers()
        for at in range(len(numbers) - 2, -1, -1):
            decision = self.decision(numbers[at])
            if decision is not None and decision.action in (FINISHED, FAIL):
                return numbers[at + 1 :]
        return numbers

    def conclude(
        self,
        number: int,
        ranks: Sequence[int],
        max_restarts: int,
        together: bool = True,
        note: str = "",
    ) -> Decision:
        """Decides from the files of an attempt's ranks, and records the decision; `note` is added
        to the reason of an attempt that did not finish.
        """
        ends = {end.rank: end.exit_code for end in self.ranks(number)}
        codes = {rank: ends.get(rank) for rank in ranks}
        decision = (decide if together else decide_independent)(codes, self.counted(), max_restarts)
        if decision.action != FINISHED:
            decision = dataclasses.replace(decision, reason=decision.reason + note)
        self.write_decision(number, decision)
        return decision

    def why(self) -> str:
        """The rank that ended the last finished attempt, and its last message; "" without one."""
        for number in reversed(self.numbers()):
            decision = self.decision(number)
            if decision is not None and decision.rank is not None:
                said = last_line(self.log(number, decision.rank))
                return decision.reason + (f": {said}" if said else "")
        return ""


def last_line(path: Path) -> str:
    """The last line that is not empty; "" if there is none."""
    try:
        with open_regular(path, follow=False) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 4096))
            lines = file.read().decode("utf-8", "replace").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _write(path: Path, fields: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(fields), sync=False)


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_json(path, MAX_BYTES, follow=False)
    except (OSError, DataError):
        return {}


def _typed(kind: type[_Kind], fields: dict[str, Any]) -> _Kind | None:
    """A dataclass of plain values; None if the fields, which may come from anyone, do not match."""
    try:
        made = kind(**fields)
        for name, hint in get_type_hints(kind).items():
            value = getattr(made, name)
            whole = type(value) is int and isinstance(float(value), hint)
            if isinstance(value, bool) or not (whole or isinstance(value, hint)):
                return None
    except (TypeError, OverflowError):
        return None
    return made
