"""What a follower builds and removes: pure functions of the pass that a training is in."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection


@dataclasses.dataclass(frozen=True)
class Window:
    """Which live variants there may be.

    A training in pass p needs variant p, soon p+1, ..., p+ahead, and after a restart from an older
    state perhaps p-1, ..., p-keep+1: at most keep + ahead variants, and up to three more where it
    reads older ones instead (data.on_late=reuse).

    Attributes:
      stored: variants 0 to stored-1 are in the dataset itself, and never made.
      ahead: passes that are built in advance, at least 1.
      keep: the current pass and those before it that are kept, at least 1.
    """

    stored: int
    ahead: int
    keep: int

    def wanted(self, pass_number: int, last_pass: int | None) -> list[int]:
        """The variants to have at a pass, the most urgent first; None = no end is known."""
        end = pass_number + self.ahead
        if last_pass is not None:
            end = min(end, last_pass)
        return list(range(max(pass_number, self.stored), end + 1))

    def to_remove(
        self,
        there: Collection[int],
        started: Collection[int],
        pass_number: int,
        reading: int | None = None,
    ) -> list[int]:
        """The variants to remove at a pass, before anything is built.

        A training with data.on_late=reuse reads an older variant than its pass, and has chosen the
        next one in advance: that variant and the two newest stay.

        Args:
          there: live variants that are whole.
          started: those of which there are some files only.
          pass_number: that the training is in.
          reading: the variant that the training reads; None = not known.
        """
        first, last = pass_number - self.keep + 1, pass_number + self.ahead
        inside = range(first, last + 1)
        present = {*there, *started}
        older = sorted(v for v in there if v <= pass_number)
        spared: set[int | None] = set()
        if reading != pass_number:
            spared = {reading, *older[-2:]}
        elif pass_number not in there and len(present & {*inside}) + 2 <= self.keep + self.ahead:
            spared = {*older[-1:]}  # it may have to choose yet; one more is about to be built
        return sorted(v for v in present if v not in inside and v not in spared)

    def next_to_build(
        self, there: Collection[int], pass_number: int, last_pass: int | None
    ) -> int | None:
        """The variant to build at a pass; None = all are there."""
        missing = (v for v in self.wanted(pass_number, last_pass) if v not in there)
        return next(missing, None)
