"""Commit markers: what a finished shard holds and what it was made from.

A marker is written after the files of its shard. Whether they may be kept is decided by comparing
it with the shard's plan, never by looking at the files alone.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Container
from typing import Any

from preprocess.dataset_format import IMAGES, Shard, index_file
from preprocess.shards.shard_plan import Options, ShardPlan, TripletEntry
from preprocess.sources.refusals import Rejection


@dataclasses.dataclass(frozen=True)
class ShardReport:
    """A commit marker: what building one shard gave. Its variants are those of `shards`,
    without gaps from 0.
    """

    fingerprint: str  # ShardPlan.fingerprint; of triplets, triplet_fingerprint()
    drawing: str  # Options.drawing; "" if there is variant 0 only
    libraries: dict[str, str]  # versions of what decoded and encoded
    shards: tuple[Shard, ...]
    rejections: tuple[Rejection, ...]
    refused_keys: tuple[int, ...]
    shapes: tuple[tuple[int, int, int], ...]  # (H, W, C), enough to know which of them vary
    inputs: int
    seconds: dict[str, float]  # what was last built of it, by stage and operation: stage_clock.py
    # Of markers written before these were kept, "".
    untimed: str = ""  # ShardPlan.untimed_fingerprint
    content: str = ""  # ContentHash of the pictures

    def first(self, variants: int) -> ShardReport:
        """The marker of the first that many variants alone."""
        if variants == len(self.shards):
            return self
        drawing = self.drawing if variants > 1 else ""
        return dataclasses.replace(self, shards=self.shards[:variants], drawing=drawing)

    def to_json(self) -> str:
        """The marker's text."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> ShardReport:
        """The inverse of to_json."""
        fields: dict[str, Any] = json.loads(text)
        fields["shards"] = tuple(Shard(**shard) for shard in fields["shards"])
        fields["rejections"] = tuple(Rejection(**r) for r in fields["rejections"])
        fields["refused_keys"] = tuple(fields["refused_keys"])
        fields["shapes"] = tuple(tuple(shape) for shape in fields["shapes"])
        return cls(**fields)


def variants_kept(report: ShardReport | None, plan: ShardPlan, options: Options) -> int:
    """How many variants of a picture shard, from 0 on, are there as they should be."""
    if report is None or not is_of(report, plan, options):
        return 0
    drawn_alike = report.drawing == options.drawing
    return min(len(report.shards), plan.variants if drawn_alike else 1)


def is_of(report: ShardReport, plan: ShardPlan, options: Options) -> bool:
    """Whether variant 0 is of this plan, by the names, sizes and times of the pictures."""
    known = (plan.fingerprint(options), plan.located_fingerprint(options))
    return report.fingerprint in known


def triplet_fingerprint(plan: ShardPlan, options: Options, refused: Container[int]) -> str:
    """Fingerprint of a triplet shard: which of its pictures were refused decides it too, and is
    known only when all pictures are done.
    """
    entries = (TripletEntry(**json.loads(line)) for line in plan.lines)
    touched = sorted({key for entry in entries for key in entry.keys if key in refused})
    return hashlib.sha256(f"{plan.fingerprint(options)} {touched}".encode()).hexdigest()


def standing(marker: str | bytes, size: Callable[[str], int]) -> ShardReport | None:
    """The report in a marker's text; None if it is none, or the shard's files are not there
    with the sizes that it says.
    """
    try:
        report = ShardReport.from_json(marker)
        for shard in report.shards:
            if size(shard.file) != shard.bytes:
                return None
            if shard.kind == IMAGES:
                size(index_file(shard.file))
        return report
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
