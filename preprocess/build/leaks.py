"""Finds pictures in two splits under different names, which bias a test metric upward.

Only pictures of equal size can be equal, so those are compared by their hashes, at most some
thousand: enough to notice leaking splits within a second.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator

from preprocess.build.dataset_plan import Plan
from preprocess.dataset_format import IMAGES
from preprocess.shards.shard_plan import PictureEntry
from preprocess.sources import item_readers

MOST_PICTURES = 2_000  # that are read


def leak_warning(plan: Plan) -> str | None:
    """A warning about pictures that are in two splits, byte for byte; None if there are none."""
    seen: dict[bytes, tuple[str, PictureEntry]] = {}
    looked, pairs = 0, []
    candidates = list(_candidates(plan))
    contents = item_readers.read_many(entry.path for _, entry in candidates)
    for (split, entry), content in zip(candidates, contents, strict=True):
        if isinstance(content, OSError):
            continue
        looked += 1
        digest = hashlib.sha256(content).digest()
        other_split, other = seen.setdefault(digest, (split, entry))
        # If the table names one file in both splits, the source has already warned.
        if other_split != split and other.path != entry.path:
            pairs.append((other, entry))
    if not pairs:
        return None
    first, second = pairs[0]
    return (
        f"{len(pairs)} of {looked} pictures compared are in two splits, byte for byte, so a test "
        f"metric would be too high; the first: '{first.id}' and '{second.id}'"
    )


def _candidates(plan: Plan) -> Iterator[tuple[str, PictureEntry]]:
    """Whole groups of pictures whose size occurs in several splits."""
    groups: dict[int, list[tuple[str, PictureEntry]]] = defaultdict(list)
    for shard in plan.shards:
        if shard.kind != IMAGES:
            continue
        for line in shard.lines:
            entry = PictureEntry(**json.loads(line))
            if entry.item is None:
                groups[entry.bytes].append((shard.split, entry))
    left = MOST_PICTURES
    # Small groups first: the rarer a size, the more likely two pictures are equal.
    for group in sorted(groups.values(), key=len):
        if len({split for split, _ in group}) > 1 and len(group) <= left:
            left -= len(group)
            yield from group
