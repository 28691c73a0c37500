"""How far a shard is: counted by the worker that builds it, and noted next to the shard.

A finished shard has its commit marker. While it is being built, its worker writes twice a second
how far it is to .build/progress/NAME, so that a bar over few large shards moves too, whichever
process or thread builds them. On object storage, where each note would be a request, there are
markers only.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator

from preprocess.shards.workspace import Workspace

NOTE_SECONDS = 0.5  # between two notes of a worker


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
