"""What a build would cost, from a sample of its pictures built in memory."""

from __future__ import annotations

import dataclasses
import json
import time
from collections import Counter
from typing import Any

from preprocess.augment import Recipe
from preprocess.dataset_format import IMAGES, TRIPLETS
from preprocess.plan import TRIPLET_BYTES, PictureEntry, Plan, ShardPlan
from preprocess.refusals import Refused
from preprocess.shards import decode_picture, image_records, read_files
from preprocess.sources.rows import Source
from preprocess.tfrecord import FRAME_BYTES

SAMPLE = 200  # pictures; enough for a mean within some percent, done in seconds
SMALL_SHARD_BYTES = 1 << 20  # below it, opening files costs as much as reading them


@dataclasses.dataclass(frozen=True)
class Sample:
    """Means over the sampled pictures of one split."""

    pictures: int
    refused: int
    seconds: float  # of one core, a picture with all its variants
    bytes: float  # a picture with all its variants


def estimate(source: Source, plan: Plan, workers: int) -> dict[str, Any]:
    """Counts, bytes, shards, core-hours and warnings of a plan; nothing is written.

    `triplet_types` and `vote_agreement` (how many triplets have a highest vote in each tenth)
    are None for classification.
    """
    recipe = Recipe.from_yaml(plan.options.recipe) if plan.options.recipe else None
    warnings = list(source.warnings)
    splits: dict[str, Any] = {}
    seconds = 0.0
    for split in sorted({shard.split for shard in plan.shards}):
        images = [s for s in plan.shards if s.split == split and s.kind == IMAGES]
        triplets = [s for s in plan.shards if s.split == split and s.kind == TRIPLETS]
        sample = _sample(images, plan, recipe)
        pictures = sum(len(s.lines) for s in images)
        total = sample.bytes * pictures
        seconds += sample.seconds * pictures
        splits[split] = {
            "pictures": pictures,
            "variants": images[0].variants,
            "triplets": sum(len(s.lines) for s in triplets),
            "shards": len(images),
            "bytes": int(total + sum(len(s.lines) for s in triplets) * TRIPLET_BYTES),
        }
        by_hand = bool(plan.options.shards)
        warnings += _warnings(split, images, total, sample, workers, by_hand)
    return {
        "splits": splits,
        "pictures": sum(row["pictures"] for row in splits.values()),
        "triplets": sum(row["triplets"] for row in splits.values()),
        "bytes": sum(row["bytes"] for row in splits.values()),
        "core_hours": seconds / 3600,
        "hours": seconds / 3600 / workers,
        "refused_rows": len(source.rejections),
        "triplet_types": dict(Counter(t.type for t in source.triplets)) or None,
        "vote_agreement": _agreement(source),
        "warnings": warnings,
    }


def _sample(images: list[ShardPlan], plan: Plan, recipe: Recipe | None) -> Sample:
    lines = [line for shard in images for line in shard.lines]
    # Keys are hashes, so every n-th line is a fair draw.
    chosen = lines[:: max(1, len(lines) // SAMPLE)][:SAMPLE]
    started = time.process_time()
    size, refused = 0, 0
    entries = [PictureEntry(**json.loads(line)) for line in chosen]
    for entry, content in zip(entries, read_files(entries), strict=True):
        try:
            data, decoded = decode_picture(entry, content)
        except Refused:
            refused += 1
            continue
        records = image_records(entry, data, decoded, images[0].variants, plan.options, recipe)
        size += sum(len(record) + FRAME_BYTES for record, _ in records)
    spent = time.process_time() - started
    count = max(len(chosen), 1)
    return Sample(len(chosen), refused, spent / count, size / count)


def _warnings(
    split: str, images: list[ShardPlan], total: float, sample: Sample, workers: int, by_hand: bool
) -> list[str]:
    found = []
    shards = len(images)
    if shards % workers:
        found.append(
            f"split '{split}': {shards} shards do not divide evenly among {workers} workers; "
            f"--shards={-(-shards // workers) * workers} would"
        )
    each = total / max(shards * images[0].variants, 1)
    if by_hand and each < SMALL_SHARD_BYTES:
        found.append(
            f"split '{split}': a shard has {each / 1e3:.0f} kB only; fine on a local disk, slow "
            "from object storage: fewer --shards"
        )
    if sample.refused:
        found.append(
            f"split '{split}': {sample.refused} of {sample.pictures} sampled pictures are refused"
        )
    return found


def _agreement(source: Source) -> dict[str, int] | None:
    if not source.triplets:
        return None
    tenths = Counter(min(int(max(t.votes) * 10), 9) for t in source.triplets)
    return {f"{tenth / 10:.1f}": tenths[tenth] for tenth in range(3, 10)}
