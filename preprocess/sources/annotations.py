"""What a table's row says about its picture: class, labels or numbers to learn, and a weight.

Flags name the columns (--label, --labels, --targets, --weight); --columns may map them further.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from preprocess.dataset_format import (
    CLASSIFICATION,
    MULTILABEL,
    REGRESSION,
    ImageKey,
    Target,
    task_of,
)
from preprocess.shell.errors import UsageError
from preprocess.sources import class_names
from preprocess.sources.numbers import number
from preprocess.sources.refusals import Reason, Refused
from preprocess.sources.rows import Picture, Request, Source, check_name
from preprocess.sources.splitting import TRAIN

OWN_COLUMNS = ("path", "split")  # of the table, whatever the task
SEPARATORS = (";", "|", ",", " ", "/")  # that tables use between labels
MAX_TARGET = 1e30  # squares in float32 overflow at 1.8e19, deviations from a mean far later
MAX_WEIGHT = 1e6  # far above any sensible value; sums in float32 stay finite


class Annotation(NamedTuple):
    """The annotation in a row."""

    labels: tuple[str, ...]  # without repetitions, in order; a single one for a class
    numbers: tuple[float, ...] = ()
    weight: float | None = None


@dataclasses.dataclass(frozen=True)
class Columns:
    """The columns of an annotation, by our names."""

    label: str = ""  # "" = a picture has regression targets only
    numbers: tuple[str, ...] = ()
    separator: str = ""  # between labels; "" = a picture has one class
    weight: str = ""  # "" = none

    @property
    def task(self) -> str:
        """What is learned from the columns."""
        parts = []
        if self.label:
            parts.append(MULTILABEL if self.separator else CLASSIFICATION)
        if self.numbers:
            parts.append(REGRESSION)
        return task_of(*parts)

    @property
    def required(self) -> tuple[str, ...]:
        """All annotation columns."""
        return tuple(filter(None, (self.label, *self.numbers, self.weight)))

    def read(self, cells: Mapping[str, str]) -> Annotation:
        """The annotation in a row; raises Refused."""
        weight = _number(cells[self.weight], "weight", 0, MAX_WEIGHT) if self.weight else None
        numbers = tuple(_number(cells[n], n, -MAX_TARGET, MAX_TARGET) for n in self.numbers)
        if not self.label:
            return Annotation((), numbers, weight)
        cell = cells[self.label]
        if self.separator:
            parts = {part.strip() for part in cell.split(self.separator)} - {""}
            labels = sorted(check_name(part, "label", Reason.BAD_LABEL) for part in parts)
        else:
            labels = [check_name(cell, "label", Reason.BAD_LABEL)]
        return Annotation(tuple(labels), numbers, weight)


def chosen_columns(request: Request) -> Columns:
    """The columns that a build's flags name; raises UsageError for contradictory flags."""
    if request.labels and request.label:
        raise UsageError("--label and --labels exclude each other: one class, or several labels")
    if not request.separator.strip(" \t") and request.separator != " ":
        raise UsageError("--separator is empty; set the text between two labels, such as ';'")
    label = request.labels or request.label or ("" if request.targets else "label")
    separator = request.separator if request.labels else ""
    columns = Columns(label, request.targets, separator, request.weight)
    names = [*OWN_COLUMNS, *columns.required]
    twice = next((name for name in names if names.count(name) > 1), "")
    if twice:
        raise UsageError(
            f"{', '.join(request.column_flags)}: column '{twice}' is used twice; "
            f"{' and '.join(OWN_COLUMNS)} are reserved, --columns maps columns to other names"
        )
    return columns


def conflict(earlier: Annotation, annotation: Annotation) -> str:
    """How two rows of one picture differ; "" if they do not."""
    if earlier.labels != annotation.labels:
        return f"calls it '{', '.join(earlier.labels)[:40]}'"
    if earlier.numbers != annotation.numbers:
        return f"has {', '.join(f'{each:g}' for each in earlier.numbers)[:40]}"
    if earlier.weight != annotation.weight:
        return f"gives it the weight {earlier.weight:g}"
    return ""


class Annotated(NamedTuple):
    """A picture and its row's annotation."""

    picture: Picture  # without the annotation
    named: str  # the split that the row names
    annotation: Annotation


def annotate(source: Source, columns: Columns, annotated: Iterable[Annotated]) -> None:
    """Adds the pictures to a source, with class numbers."""
    rows: Sequence[Annotated] = list(annotated)
    labels: dict[str, set[str]] = {}  # by split
    for row in rows:
        labels.setdefault(row.named, set()).update(row.annotation.labels)
    source.classes, numbers, warnings = class_names.numbered(labels)
    source.warnings += [*warnings, *_caveats(columns, rows)]
    source.targets = _targets(columns, rows)
    source.weighted = bool(columns.weight)
    source.pictures = [_annotated(row, columns, numbers) for row in rows]


def _annotated(row: Annotated, columns: Columns, numbers: Mapping[str, int]) -> Picture:
    found = [numbers[label] for label in row.annotation.labels]
    features: dict[str, list[int] | list[float]] = {}
    if columns.separator:
        features[ImageKey.LABELS] = sorted(found)
    if row.annotation.weight is not None:
        features[ImageKey.WEIGHT] = [row.annotation.weight]
    if row.annotation.numbers:
        features[ImageKey.TARGETS] = list(row.annotation.numbers)
    label = found[0] if found and not columns.separator else None
    return row.picture._replace(label=label, features=features or None)


def _targets(columns: Columns, rows: Sequence[Annotated]) -> list[Target]:
    """Statistics of the targets over training pictures; over all if there are none."""
    train = [row for row in rows if row.picture.split == TRAIN] or rows
    values = list(zip(*(row.annotation.numbers for row in train), strict=True))
    return [
        Target(name, statistics.fmean(of_name), statistics.pstdev(of_name) or 1.0)
        for name, of_name in zip(columns.numbers, values, strict=bool(train))
    ]


def _caveats(columns: Columns, rows: Sequence[Annotated]) -> Iterator[str]:
    if rows and columns.weight and not any(row.annotation.weight for row in rows):
        yield f"all weights (--weight={columns.weight}) are 0, so nothing is learned"
    for at, name in enumerate(columns.numbers if rows else ()):
        if len({row.annotation.numbers[at] for row in rows}) == 1:
            value = rows[0].annotation.numbers[at]
            yield f"target '{name}' is {value:g} for all pictures, so there is nothing to learn"
    if rows and columns.separator and all(len(row.annotation.labels) < 2 for row in rows):
        names = [label for row in rows for label in row.annotation.labels]
        other = next((each for each in SEPARATORS if any(each in name for name in names)), "")
        hint = f"; some contain {other!r}: set --separator={other!r}" if other else ""
        yield (
            f"no picture has more than one label with the separator {columns.separator!r}{hint}; "
            f"if each has one class, name the column with --label"
        )


def _number(cell: str, what: str, least: float, most: float) -> float:
    try:
        value = number(cell)
    except ValueError:
        raise Refused(Reason.BAD_NUMBER, f"{what[:40]} {cell[:40]!r}") from None
    if not (least <= value <= most and math.isfinite(value)):
        raise Refused(Reason.BAD_NUMBER, f"{what[:40]} {value:g}, not in {least:g} to {most:g}")
    return value
