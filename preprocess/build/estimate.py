"""Estimates the cost of a build from a sample of its pictures, built in memory."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections import Counter
from typing import Any

import cv2

from preprocess.augment import Recipe
from preprocess.augment import stage_clock as stages
from preprocess.augment.stage_clock import Stopwatch
from preprocess.build.dataset_plan import TRIPLET_BYTES, Plan
from preprocess.build.leaks import leak_warning
from preprocess.build.preconditions import mixed_sizes
from preprocess.dataset_format import IMAGES, TRIPLETS
from preprocess.shards.build_shard import image_records
from preprocess.shards.contents import read_files
from preprocess.shards.shard_plan import PictureEntry, ShardPlan
from preprocess.shell.checksum import frame
from preprocess.sources.refusals import Refused
from preprocess.sources.rows import Source
from preprocess.sources.splitting import TRAIN

SAMPLE = 200  # pictures: the mean is within a few percent, and it takes seconds
SMALL_SHARD_BYTES = 1 << 20  # below this, opening files costs as much as reading them
LARGE_SHARD_BYTES = 512 << 20  # above this, a killed worker loses minutes
MAJORITY = 0.5  # a triplet counts for accuracy only if a choice has more than this share
MANY_UNDECIDED = 0.25  # share of triplets worth a warning; a tenth is usual


@dataclasses.dataclass(frozen=True)
class Sample:
    """Means over the sampled pictures of one split."""

    pictures: int
    refused: list[str]  # name and reason of each refused picture
    shapes: set[tuple[int, int, int]]  # (H, W, C) of the others
    seconds: float  # of one core, for a picture with all its variants
    bytes: float  # of a picture with all its variants
    laps: dict[str, float]  # seconds by stage and operation, for a picture with all its variants


def estimate(source: Source, plan: Plan, workers: int) -> dict[str, Any]:
    """Counts, bytes, shards, core-hours and warnings of a plan; nothing is written.

    `triplet_types` and `vote_agreement` (how many triplets have their highest vote in each tenth)
    are None for classification.
    """
    cv2.setNumThreads(0)  # as in a worker
    recipe = Recipe.from_yaml(plan.options.recipe) if plan.options.recipe else None
    warnings = list(source.warnings)
    splits: dict[str, Any] = {}
    seconds = 0.0
    laps: list[dict[str, float]] = []
    shapes: set[tuple[int, int, int]] = set()
    for split in sorted({shard.split for shard in plan.shards}):
        images = [s for s in plan.shards if s.split == split and s.kind == IMAGES]
        triplets = [s for s in plan.shards if s.split == split and s.kind == TRIPLETS]
        sample = _sample(images, plan, recipe)
        pictures = sum(len(s.lines) for s in images)
        total = sample.bytes * pictures
        seconds += sample.seconds * pictures
        shapes |= sample.shapes
        laps.append({name: spent * pictures for name, spent in sample.laps.items()})
        splits[split] = {
            "pictures": pictures,
            "variants": images[0].variants,
            "triplets": sum(len(s.lines) for s in triplets),
            "shards": len(images),
            "bytes": int(total + sum(len(s.lines) for s in triplets) * TRIPLET_BYTES),
        }
        by_hand = bool(plan.options.shards)
        warnings += _warnings(split, images, total, sample, workers, by_hand)
    warnings += mixed_sizes(plan.options.task, shapes)
    warnings += _triplet_warnings(source)
    if leak := leak_warning(plan):
        warnings.append(leak)
    spent = stages.total(laps)
    return {
        "splits": splits,
        "pictures": sum(row["pictures"] for row in splits.values()),
        "triplets": sum(row["triplets"] for row in splits.values()),
        "bytes": sum(row["bytes"] for row in splits.values()),
        "core_hours": seconds / 3600,
        "hours": seconds / 3600 / workers,
        "seconds_by_stage": stages.by_stage(spent),
        "seconds_by_operation": stages.by_operation(spent),
        "refused_rows": len(source.rejections),
        "triplet_types": dict(Counter(t.type for t in source.triplets)) or None,
        "vote_agreement": _agreement(source),
        "warnings": warnings,
    }


def _sample(images: list[ShardPlan], plan: Plan, recipe: Recipe | None) -> Sample:
    lines = [line for shard in images for line in shard.lines]
    # Keys are hashes, so every n-th line is a random sample.
    chosen = lines[:: max(1, len(lines) // SAMPLE)][:SAMPLE]
    watch = Stopwatch()
    started = time.process_time()
    size, refused = 0, []
    shapes: set[tuple[int, int, int]] = set()
    entries = [PictureEntry(**json.loads(line)) for line in chosen]
    variants = range(images[0].variants)
    for entry, content in zip(entries, read_files(entries), strict=True):
        watch.lap(stages.READ)
        try:
            made = image_records(entry, content, variants, plan.options, recipe, watch)
            for record, shape in made:
                shapes.add(shape)
                framed = frame(record)
                hashlib.sha256(framed)
                size += len(framed)
                watch.lap(stages.WRITE)
        except Refused as reason:
            refused.append(f"'{entry.id}': {reason}")
    spent = time.process_time() - started
    count = max(len(chosen), 1)
    laps = {name: seconds / count for name, seconds in watch.seconds.items()}
    return Sample(len(chosen), refused, shapes, spent / count, size / count, laps)


def _warnings(
    split: str, images: list[ShardPlan], total: float, sample: Sample, workers: int, by_hand: bool
) -> list[str]:
    found = []
    shards = len(images)
    # A split that is one shard because it is small is no loss.
    if shards % workers and (shards > 1 or by_hand):
        found.append(
            f"split '{split}': {shards} shards cannot be divided evenly among {workers} workers; "
            f"set --shards={-(-shards // workers) * workers}"
        )
    each = total / max(shards * images[0].variants, 1)
    if by_hand and each < SMALL_SHARD_BYTES:
        found.append(
            f"split '{split}': a shard has only {each / 1e3:.0f} kB, which is slow to read from "
            "object storage; set fewer --shards"
        )
    if by_hand and each > LARGE_SHARD_BYTES:
        found.append(
            f"split '{split}': a shard has {each / 1e6:.0f} MB in each variant, and a stopped "
            "worker has to restart its shard; set more --shards"
        )
    if sample.refused:
        found.append(
            f"split '{split}': {len(sample.refused)} of {sample.pictures} sampled pictures would "
            f"be refused, the first is {sample.refused[0]}"
        )
    return found


def _triplet_warnings(source: Source) -> list[str]:
    found = []
    undecided = sum(max(t.votes) <= MAJORITY for t in source.triplets)
    if undecided > MANY_UNDECIDED * len(source.triplets):
        found.append(
            f"{undecided} of {len(source.triplets)} triplets have no vote above {MAJORITY:g}: "
            "they are used for training, but not for accuracy"
        )
    trained = {t.type for t in source.triplets if t.split == TRAIN}
    others = {t.type for t in source.triplets} - trained
    if others:
        found.append(f"triplet types missing from train: {', '.join(sorted(others))[:200]}")
    return found


def _agreement(source: Source) -> dict[str, int] | None:
    if not source.triplets:
        return None
    tenths = Counter(min(int(max(t.votes) * 10), 9) for t in source.triplets)
    return {f"{tenth / 10:.1f}": tenths[tenth] for tenth in range(3, 10)}
