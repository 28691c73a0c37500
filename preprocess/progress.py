"""How far a build is: what workers note beside their shards, and the bar made of it.

A finished shard says so by its marker. While it is being built, its worker notes twice a second
how far it is in .build/progress/NAME, so that a bar over few large shards moves too, whichever
process or thread builds them. On object storage, where that would be a request each, only the
markers are read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator, Mapping

from tqdm import tqdm

from preprocess import storage
from preprocess.errors import StorageError
from preprocess.workspace import ShardReport, Workspace

NOTE_SECONDS = 0.5  # how often a worker notes how far it is
POLL_SECONDS = 0.3  # how often the bar looks
REMOTE_POLL_SECONDS = 5.0  # the same on object storage, where looking is a request


@dataclasses.dataclass(frozen=True)
class Tally:
    """What was done of a build."""

    pictures: int = 0  # stored, once each
    variants: int = 0
    bytes: int = 0  # of records
    refused: int = 0  # pictures

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.pictures + other.pictures,
            self.variants + other.variants,
            self.bytes + other.bytes,
            self.refused + other.refused,
        )

    def per_second(self, seconds: float) -> dict[str, float]:
        """Rates, by the names they have in `build --json`."""
        return {
            "pictures_per_second": round(self.pictures / seconds, 2),
            "variants_per_second": round(self.variants / seconds, 2),
            "megabytes_per_second": round(self.bytes / 1e6 / seconds, 3),
        }


Advance = Callable[[Tally], None]
"""Called by a worker with what one more picture came to."""


def written(report: ShardReport, before: ShardReport | None) -> Tally:
    """What building a picture shard came to, without the variants it had before."""
    new = [s for s in report.shards if before is None or s not in before.shards]
    return Tally(
        pictures=new[0].records if new else 0,
        variants=sum(shard.records for shard in new),
        bytes=sum(shard.bytes for shard in new),
        refused=len(report.refused_keys) if new else 0,
    )


@contextlib.contextmanager
def noted(workspace: Workspace, name: str) -> Iterator[Advance]:
    """Yields the function by which the worker of a shard says how far it is."""
    tally, due = Tally(), time.monotonic() + NOTE_SECONDS

    def advance(more: Tally) -> None:
        nonlocal tally, due
        tally += more
        if time.monotonic() >= due:
            workspace.note(name, " ".join(map(str, dataclasses.astuple(tally))))
            due = time.monotonic() + NOTE_SECONDS

    try:
        yield advance
    finally:
        workspace.forget(name)


class Watch:
    """Reads how far a build is, from markers and notes.

    Args:
      workspace: of the build.
      before: what there was of each picture shard that is being built; None = nothing.
    """

    def __init__(self, workspace: Workspace, before: Mapping[str, ShardReport | None]) -> None:
        self._workspace = workspace
        self._open = dict(before)
        self._marked_before = workspace.marker_times()
        self._finished = Tally()
        remote = storage.is_remote(workspace.dataset)
        self.pause = REMOTE_POLL_SECONDS if remote else POLL_SECONDS

    def look(self) -> Tally:
        """What was done up to now."""
        # Notes first: a shard that is finished in between counts by its note, not twice.
        notes = {name: self._note(name) for name in self._open}
        for name, time_ns in self._workspace.marker_times().items():
            if name not in self._open or self._marked_before.get(name) == time_ns:
                continue
            report = self._workspace.report(name)
            if report is not None:
                self._finished += written(report, self._open.pop(name))
                del notes[name]
        return sum(notes.values(), start=self._finished)

    def _note(self, name: str) -> Tally:
        try:
            return Tally(*map(int, self._workspace.noted(name).split()))
        except (TypeError, ValueError):  # read while it was being written
            return Tally()


@contextlib.contextmanager
def bar(watch: Watch, pictures: int, variants: int) -> Iterator[None]:
    """Shows a bar over `variants` of `pictures` while the body runs; quiet where stderr is no
    terminal.
    """
    done = threading.Event()
    started = time.monotonic()
    with tqdm(total=variants, unit=" variants", disable=None) as shown:

        def update() -> None:
            tally = watch.look()
            rates = tally.per_second(max(time.monotonic() - started, 1e-9))
            shown.set_postfix_str(
                f"{rates['pictures_per_second']:.1f} pictures/s, "
                f"{rates['megabytes_per_second']:.1f} MB/s, {tally.refused} refused",
                refresh=False,
            )
            # A refused picture is done with too, with as many variants as others have.
            passed_over = round(tally.refused * variants / pictures)
            shown.update(min(tally.variants + passed_over, variants) - shown.n)

        def run() -> None:
            while not done.wait(watch.pause):
                with contextlib.suppress(OSError, StorageError):  # the workers will say it
                    update()

        if shown.disable or not pictures:
            yield
            return
        watcher = threading.Thread(target=run, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()
            with contextlib.suppress(OSError, StorageError):
                update()
