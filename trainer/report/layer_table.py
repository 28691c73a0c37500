"""The layers of a model, a row each: shapes, weights, and how many of them train."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from trainer.report.page import Section

HEADER = ("layer", "kind", "output", "weights", "trained")


@dataclasses.dataclass(frozen=True)
class LayerRow:
    """One layer.

    Attributes:
      name: with those of the models that it is in, from the outside, as in backbone/conv1.
      kind: its class.
      output: the shape of its output for one picture, such as 80x80x32.
      weights: numbers in all its weights, BatchNorm's statistics included.
      trained: those that training changes by their gradient; 0 where it is frozen.
    """

    name: str
    kind: str
    output: str
    weights: int
    trained: int

    @property
    def cells(self) -> tuple[str, ...]:
        """Its texts, below HEADER."""
        trained = f"{self.trained:,}" if self.trained or not self.weights else "frozen"
        return (self.name, self.kind, self.output, f"{self.weights:,}", trained)


def total_in_words(rows: Sequence[LayerRow]) -> str:
    """How many layers and weights there are, and how many train."""
    weights, trained = (sum(getattr(row, name) for row in rows) for name in ("weights", "trained"))
    return f"{len(rows)} layers, {weights:,} weights, of which {trained:,} train"


def table_lines(rows: Sequence[LayerRow]) -> list[str]:
    """The table for a terminal: texts to the left, numbers to the right."""
    cells = [HEADER, *(row.cells for row in rows)]
    widths = [max(len(line[at]) for line in cells) for at in range(len(HEADER))]
    return [
        "  ".join(
            text.rjust(width) if at > 2 else text.ljust(width)
            for at, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]


def layers_section(rows: Sequence[LayerRow]) -> Section:
    """They as a section of a run's page: their numbers, and a folded table."""
    return Section(
        "Model",
        lines=(f"{total_in_words(rows)}.",),
        header=HEADER,
        rows=[row.cells for row in rows],
        folded=True,
    )
