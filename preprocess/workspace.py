"""The build's own folder, DATASET/.build: the plan, and a commit marker a finished shard.

.build/options.json          what decides the bytes; compared when a build is run again
.build/refused.json          keys of pictures known to be refused before any is opened
.build/plan/NAME.jsonl       one shard's plan
.build/done/NAME.json        written after the shard's files, names their hashes
.build/lock                  held while a build runs
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import shutil
from collections.abc import Collection, Iterator
from typing import Any

from preprocess.dataset_format import IMAGES, Shard, index_file
from preprocess.errors import UsageError
from preprocess.plan import Options, Plan, ShardPlan
from preprocess.refusals import Rejection
from preprocess.tfrecord import write_text

FOLDER = ".build"


@dataclasses.dataclass(frozen=True)
class ShardReport:
    """A commit marker: what building one shard gave."""

    fingerprint: str
    shards: tuple[Shard, ...]
    rejections: tuple[Rejection, ...]
    refused_keys: tuple[int, ...]
    shapes: tuple[tuple[int, int, int], ...]  # (H, W, C), enough to know which of them vary
    inputs: int
    seconds: float

    def to_json(self) -> str:
        """The marker's text."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ShardReport:
        """The inverse of to_json."""
        fields: dict[str, Any] = json.loads(text)
        fields["shards"] = tuple(Shard(**shard) for shard in fields["shards"])
        fields["rejections"] = tuple(Rejection(**r) for r in fields["rejections"])
        fields["refused_keys"] = tuple(fields["refused_keys"])
        fields["shapes"] = tuple(tuple(shape) for shape in fields["shapes"])
        return cls(**fields)


class Workspace:
    """Paths and small files of a build below one dataset directory."""

    def __init__(self, dataset: str) -> None:
        self.dataset = dataset
        self.root = os.path.join(dataset, FOLDER)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the build's lock; raises UsageError where another build holds it. The lock
        goes with its process, so a killed build leaves none behind.
        """
        try:
            os.makedirs(self.root, exist_ok=True)
            lock = open(os.path.join(self.root, "lock"), "w", encoding="utf-8")  # noqa: SIM115
        except OSError as error:
            raise UsageError(f"--output='{self.dataset}': {error.strerror}") from None
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UsageError(
                    f"another build is writing to '{self.dataset}'; wait for it, or choose "
                    "another --output"
                ) from None
            yield

    def write_plan(self, plan: Plan) -> None:
        """Replaces the plan files; what they say decides which markers still hold."""
        folder = os.path.join(self.root, "plan")
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        os.makedirs(os.path.join(self.root, "done"), exist_ok=True)
        for shard in plan.shards:
            with open(self._plan_file(shard.name), "w", encoding="utf-8") as file:
                file.write(shard.to_text())
        write_text(os.path.join(self.root, "refused.json"), json.dumps(sorted(plan.refused_keys)))
        write_text(os.path.join(self.root, "options.json"), plan.options.to_json())

    def options(self) -> Options | None:
        """The options of the build that wrote here last; None where there was none."""
        try:
            with open(os.path.join(self.root, "options.json"), encoding="utf-8") as file:
                return Options(**json.load(file))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def shard_plan(self, name: str) -> ShardPlan:
        """The plan of one shard."""
        with open(self._plan_file(name), encoding="utf-8") as file:
            return ShardPlan.from_text(file.read())

    def refused_keys(self) -> set[int]:
        """Keys of the pictures that were refused at planning."""
        with open(os.path.join(self.root, "refused.json"), encoding="utf-8") as file:
            return set(json.load(file))

    def report(self, name: str) -> ShardReport | None:
        """The marker of a shard whose files are all there; None where it is to be built."""
        try:
            with open(self._done_file(name), encoding="utf-8") as file:
                report = ShardReport.from_json(file.read())
            for shard in report.shards:
                if os.path.getsize(os.path.join(self.dataset, shard.file)) != shard.bytes:
                    return None
                if shard.kind == IMAGES:
                    os.stat(os.path.join(self.dataset, index_file(shard.file)))
            return report
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    def commit(self, name: str, report: ShardReport) -> None:
        """Marks a shard as finished; its files are whole and synced before."""
        write_text(self._done_file(name), report.to_json())

    def finished(self) -> int:
        """How many markers there are, for the progress bar."""
        return sum(name.endswith(".json") for name in self._markers())

    def withdraw(self, name: str) -> None:
        """Takes a marker away before its shard's files are replaced: between the first and the
        last of them it would speak for a mixture.
        """
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._done_file(name))

    def keep_only(self, names: Collection[str]) -> None:
        """Withdraws every other marker, those of an earlier plan's shards among them."""
        keep = {os.path.basename(self._done_file(name)) for name in names}
        for marker in self._markers():
            if marker not in keep:
                os.unlink(os.path.join(self.root, "done", marker))

    def _markers(self) -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            return os.listdir(os.path.join(self.root, "done"))
        return []

    def _plan_file(self, name: str) -> str:
        return os.path.join(self.root, "plan", f"{name}.jsonl")

    def _done_file(self, name: str) -> str:
        return os.path.join(self.root, "done", f"{name}.json")
