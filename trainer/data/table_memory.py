"""The memory that the tables of a run may take, by all of its readers and workers on a machine."""

from __future__ import annotations

import dataclasses

from trainer.monitoring.memory import available_bytes

SHARE = 0.7  # of what is free; the model and the rest need some too


@dataclasses.dataclass(frozen=True)
class MemoryLimit:
    """Of one table.

    Attributes:
      free_bytes: at the most.
      remedy: what the user can do if no table fits.
    """

    free_bytes: int
    remedy: str


@dataclasses.dataclass
class TableMemory:
    """What a worker may take of it.

    Attributes:
      workers: of the run, this one among them, that take from the same memory.
      reserved_bytes: for tables of other readers, which may not be filled yet.
    """

    workers: int = 1
    reserved_bytes: int = 0

    @property
    def left_bytes(self) -> int:
        """For one more table; 0 or less = there is no room."""
        return int(available_bytes() * SHARE) // self.workers - self.reserved_bytes

    def limit(self, remedy: str) -> MemoryLimit:
        """Of the next table; `remedy` is what the user can do if it does not fit."""
        if self.workers > 1:
            remedy += f", or start fewer than {self.workers} workers here, which share the memory"
        return MemoryLimit(self.left_bytes, remedy)

    def reserve(self, table_bytes: int) -> None:
        """Gives memory to a table."""
        self.reserved_bytes += table_bytes
