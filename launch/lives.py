"""The lives of a gang: all its workers start together and, when one ends early, end together.

    FOLDER/000/rank-00000.log       what a rank wrote in the first life
    FOLDER/000/rank-00000.json      when it started and ended, and its exit code
    FOLDER/000/life.json            what was concluded, written last

The same on this machine and under Slurm, so that status, logs and `why` read both alike.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from launch.exit_codes import DONE, NEVER_RETRIED, RESTART

# What follows a life.
FINISHED, RETRY, RETRY_UNCOUNTED, FAIL = "finished", "retry", "retry-uncounted", "fail"


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What follows a life, why, and which rank was the cause."""

    action: str
    exit_code: int
    rank: int | None
    reason: str


@dataclasses.dataclass(frozen=True)
class RankEnd:
    """How a rank of a life ended; `exit_code` is None while it runs, or when it was lost."""

    rank: int
    pid: int
    started: float
    ended: float | None
    exit_code: int | None
    host: str = ""


def judge(codes: Mapping[int, int | None], counted: int, max_restarts: int) -> Verdict:
    """What follows a life in which ranks ended with `codes`.

    Args:
      codes: rank -> exit code; minus the signal's number where one killed it; None where the
        rank went without a word, as on a lost node.
      counted: failures that were counted in earlier lives.
      max_restarts: how many are made good.

    The chief (rank 0) leaves last and has written everything by then, so its 0 is the run's.
    A code that is never retried decides; then 0 of the chief; then any failure that is not 75
    counts, once for the whole gang, since those who lost a peer leave with 75. Who dies of
    SIGTERM was told to end before it could listen, and counts like one that leaves with 75.
    """
    for rank, code in sorted(codes.items()):
        if code in NEVER_RETRIED:
            return Verdict(FAIL, code, rank, f"rank {rank} ended with {code}, never tried again")
    if codes.get(0) == DONE:
        return Verdict(FINISHED, DONE, None, "the chief finished")
    for rank, code in sorted(codes.items()):
        if code in (None, DONE, RESTART, -signal.SIGTERM):
            continue
        words = f"rank {rank} {ended(code)}"
        if counted >= max_restarts:
            return Verdict(FAIL, shell_code(code), rank, f"{words}, after {counted} restarts")
        return Verdict(RETRY, shell_code(code), rank, words)
    lost = next((r for r, code in sorted(codes.items()) if code is None), None)
    reason = "saved, or lost a peer" if lost is None else f"rank {lost} was lost"
    return Verdict(RETRY_UNCOUNTED, RESTART, lost, reason)


def judge_apart(codes: Mapping[int, int | None], counted: int, max_restarts: int) -> Verdict:
    """What follows when processes that share a study, and no step, have all ended.

    Each ends with 0 when no trial is left for it, so all are started again until they do.
    """
    if all(code == DONE for code in codes.values()):
        return Verdict(FINISHED, DONE, None, "every worker finished")
    as_gang = {rank: code for rank, code in codes.items() if code != DONE}
    return judge(as_gang, counted, max_restarts)


def ended(code: int) -> str:
    """`was killed by SIGKILL` or `ended with 3`."""
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with {code}"


def shell_code(code: int) -> int:
    """The exit code as a shell gives it: 128 + the signal's number."""
    return 128 - code if code < 0 else code


class Lives:
    """Reads and writes the folder of a run's lives."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    def numbers(self) -> list[int]:
        """Which lives there were, in order."""
        if not self.folder.is_dir():
            return []
        return sorted(int(path.name) for path in self.folder.iterdir() if path.name.isdigit())

    def life(self, number: int) -> Path:
        """The folder of one life."""
        return self.folder / f"{number:03d}"

    def log(self, number: int, rank: int) -> Path:
        """The log of a rank in a life."""
        return self.life(number) / f"rank-{rank:05d}.log"

    def write_rank(self, number: int, end: RankEnd) -> None:
        """Notes how a rank is."""
        _write(self.life(number) / f"rank-{end.rank:05d}.json", dataclasses.asdict(end))

    def ranks(self, number: int) -> list[RankEnd]:
        """How the ranks of a life are, in order."""
        found = [_read(path) for path in sorted(self.life(number).glob("rank-*.json"))]
        return [RankEnd(**fields) for fields in found if fields]

    def write_verdict(self, number: int, verdict: Verdict) -> None:
        """Concludes a life."""
        _write(self.life(number) / "life.json", dataclasses.asdict(verdict))

    def verdict(self, number: int) -> Verdict | None:
        """What was concluded of a life; None while it goes on."""
        fields = _read(self.life(number) / "life.json")
        return Verdict(**fields) if fields else None

    def next(self) -> int:
        """The number of the next life."""
        return (self.numbers() or [-1])[-1] + 1

    def counted(self) -> int:
        """Restarts that were counted, since the run was last started."""
        verdicts = [self.verdict(number) for number in self._since_start()]
        return sum(v is not None and v.action == RETRY for v in verdicts)

    def uncounted(self) -> int:
        """Restarts that were not: an earlier life of which nothing was concluded was cut short."""
        numbers = self._since_start()
        verdicts = [(n, self.verdict(n)) for n in numbers]
        return sum(
            n != numbers[-1] if v is None else v.action == RETRY_UNCOUNTED for n, v in verdicts
        )

    def _since_start(self) -> list[int]:
        """Lives after the last one that ended the run and was not the last: it began anew there,
        with all its restarts.
        """
        numbers = self.numbers()
        for at in range(len(numbers) - 2, -1, -1):
            verdict = self.verdict(numbers[at])
            if verdict is not None and verdict.action in (FINISHED, FAIL):
                return numbers[at + 1 :]
        return numbers

    def conclude(
        self, number: int, ranks: Sequence[int], max_restarts: int, gang: bool = True
    ) -> Verdict:
        """Judges a life by what its ranks wrote, and writes the verdict."""
        ends = {end.rank: end.exit_code for end in self.ranks(number)}
        codes = {rank: ends.get(rank) for rank in ranks}
        verdict = (judge if gang else judge_apart)(codes, self.counted(), max_restarts)
        self.write_verdict(number, verdict)
        return verdict

    def why(self) -> str:
        """Which rank ended the last life that was ended, and its last words; "" without one."""
        for number in reversed(self.numbers()):
            verdict = self.verdict(number)
            if verdict is not None and verdict.rank is not None:
                said = last_line(self.log(number, verdict.rank))
                return verdict.reason + (f": {said}" if said else "")
        return ""


def last_line(path: Path) -> str:
    """The last line that is not empty; "" where there is none."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - 4096))
            lines = file.read().decode("utf-8", "replace").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _write(path: Path, fields: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(fields), encoding="utf-8")
    temporary.replace(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return fields if isinstance(fields, dict) else {}
