"""What a row of a table says of its picture beside its name: what is to be learned, and a weight.

Flags name the columns (--label, --labels, --targets, --weight), which --columns may map in turn.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from preprocess.dataset_format import CLASSIFICATION, MULTILABEL, REGRESSION, ImageKey, Target
from preprocess.shell.errors import UsageError
from preprocess.sources import class_names
from preprocess.sources.numbers import number
from preprocess.sources.refusals import Reason, Refused
from preprocess.sources.rows import Picture, Request, Source, check_name
from preprocess.sources.splitting import TRAIN

OWN_COLUMNS = ("path", "split")  # of the table, whatever is learned
SEPARATORS = (";", "|", ",", " ", "/")  # that tables use between labels
MAX_TARGET = 1e30  # squares of float32 are finite up to 1.8e19, deviations from a mean far beyond
MAX_WEIGHT = 1e6  # far above what makes sense; sums of float32 stay finite


class Annotation(NamedTuple):
    """What a row says."""

    labels: tuple[str, ...]  # each once, in order; one where a picture has a class
    numbers: tuple[float, ...] = ()
    weight: float | None = None


@dataclasses.dataclass(frozen=True)
class Columns:
    """The columns that say it, by our names."""

    label: str = ""  # "" = a picture has numbers
    numbers: tuple[str, ...] = ()
    separator: str = ""  # between labels; "" = a picture has one class
    weight: str = ""  # "" = none

    @property
    def task(self) -> str:
        """What is learned from them."""
        if self.numbers:
            return REGRESSION
        return MULTILABEL if self.separator else CLASSIFICATION

    @property
    def required(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(filter(None, (self.label, *self.numbers, self.weight)))

    def read(self, cells: Mapping[str, str]) -> Annotation:
        """What a row says; raises Refused."""
        weight = _number(cells[self.weight], "weight", 0, MAX_WEIGHT) if self.weight else None
        numbers = tuple(_number(cells[n], n, -MAX_TARGET, MAX_TARGET) for n in self.numbers)
        if self.numbers:
            return Annotation((), numbers, weight)
        cell = cells[self.label]
        if self.separator:
            parts = {part.strip() for part in cell.split(self.separator)} - {""}
            labels = sorted(check_name(part, "label", Reason.BAD_LABEL) for part in parts)
        else:
            labels = [check_name(cell, "label", Reason.BAD_LABEL)]
        return Annotation(tuple(labels), numbers, weight)


def chosen_columns(request: Request) -> Columns:
    """The columns that the flags of a build name; raises UsageError where they are not apart."""
    if request.labels and request.label:
        raise UsageError("--label and --labels: a picture has one class, or several labels")
    if not request.separator.strip(" \t") and request.separator != " ":
        raise UsageError("--separator is empty; it is what stands between two labels, such as ';'")
    if request.targets and (request.labels or request.label):
        raise UsageError("--targets with --label or --labels: a picture has numbers, or labels")
    label = "" if request.targets else request.labels or request.label or "label"
    separator = request.separator if request.labels else ""
    columns = Columns(label, request.targets, separator, request.weight)
    names = [*OWN_COLUMNS, *columns.required]
    twice = next((name for name in names if names.count(name) > 1), "")
    if twice:
        raise UsageError(
            f"{', '.join(request.column_flags)}: column '{twice}' cannot be two things at once; "
            f"{' and '.join(OWN_COLUMNS)} are taken, --columns gives columns other names"
        )
    return columns


def conflict(earlier: Annotation, annotation: Annotation) -> str:
    """How two rows of one picture differ; "" where they do not."""
    if earlier.labels != annotation.labels:
        return f"calls it '{', '.join(earlier.labels)[:40]}'"
    if earlier.numbers != annotation.numbers:
        return f"has {', '.join(f'{each:g}' for each in earlier.numbers)[:40]}"
    if earlier.weight != annotation.weight:
        return f"gives it the weight {earlier.weight:g}"
    return ""


class Annotated(NamedTuple):
    """A picture with what its row says of it."""

    picture: Picture  # without that
    named: str  # the split that its row names
    annotation: Annotation


def annotate(source: Source, columns: Columns, annotated: Iterable[Annotated]) -> None:
    """Gives a source its pictures, with the numbers of their classes."""
    rows: Sequence[Annotated] = list(annotated)
    labels: dict[str, set[str]] = {}  # of each split
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
    label = found[0] if columns.task == CLASSIFICATION else None
    return row.picture._replace(label=label, features=features or None)


def _targets(columns: Columns, rows: Sequence[Annotated]) -> list[Target]:
    """What the numbers are, by the training pictures; by all where there are none of those."""
    train = [row for row in rows if row.picture.split == TRAIN] or rows
    values = list(zip(*(row.annotation.numbers for row in train), strict=True))
    return [
        Target(name, statistics.fmean(of_name), statistics.pstdev(of_name) or 1.0)
        for name, of_name in zip(columns.numbers, values, strict=bool(train))
    ]


def _caveats(columns: Columns, rows: Sequence[Annotated]) -> Iterator[str]:
    if rows and columns.weight and not any(row.annotation.weight for row in rows):
        yield f"all weights (--weight={columns.weight}) are 0: nothing is learned"
    for at, name in enumerate(columns.numbers if rows else ()):
        if len({row.annotation.numbers[at] for row in rows}) == 1:
            value = rows[0].annotation.numbers[at]
            yield f"target '{name}' is {value:g} everywhere: nothing to learn"
    if rows and columns.separator and all(len(row.annotation.labels) < 2 for row in rows):
        names = [label for row in rows for label in row.annotation.labels]
        other = next((each for each in SEPARATORS if any(each in name for name in names)), "")
        hint = f"; some have {other!r} in them: --separator={other!r}" if other else ""
        yield (
            f"no picture has more than one label by the separator {columns.separator!r}{hint}; "
            f"where each has one class, name the column with --label"
        )


def _number(cell: str, what: str, least: float, most: float) -> float:
    try:
        value = number(cell)
    except ValueError:
        raise Refused(Reason.BAD_NUMBER, f"{what[:40]} {cell[:40]!r}") from None
    if not (least <= value <= most and math.isfinite(value)):
        raise Refused(Reason.BAD_NUMBER, f"{what[:40]} {value:g}; {least:g} to {most:g}")
    return value
