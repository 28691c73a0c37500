"""Rows -> shards: assigns every picture to a shard before any picture is opened."""

from __future__ import annotations

import dataclasses
import json
import operator
from collections.abc import Callable, Iterable, Sequence

from preprocess.dataset_format import Target, image_key, shard_of
from preprocess.shards.shard_plan import (
    Options,
    PictureEntry,
    ShardPlan,
    TripletEntry,
    sha256_text,
)
from preprocess.shell.errors import DataError
from preprocess.sources.rows import Picture, Source, Triplet
from preprocess.storage import Info

# Shard counts that divide evenly among 1, 2, 3, 4, 6, 8, 12 ... workers.
LADDER = (1, 2, 4, 8, 12, 24, 48, 96, 120, 240, 480)
SHARD_BYTES = 32 << 20  # large enough for one sequential read, small enough to redo after a kill
# A small dataset is still divided into this many shards, so that all cores and readers have work,
SMALL_SET_SHARDS = 8
SMALL_SHARD_RECORDS = 64  # but with at least this many records a shard
TRIPLET_BYTES = 160  # of a triplet record, including framing
# Bytes per pixel of a re-encoded picture, for the estimate above: quality-95 JPEG of photos,
# PNG of photos, raw RGB.
BYTES_PER_PIXEL = {"jpeg": 0.6, "png": 1.6, "raw": 3.0}


@dataclasses.dataclass(frozen=True)
class Plan:
    """All shards of a dataset, in the order of split, kind and number."""

    options: Options
    classes: tuple[str, ...]
    shards: tuple[ShardPlan, ...]
    refused_keys: frozenset[int]  # pictures rejected before any was opened
    tables: tuple[tuple[str, str], ...] = ()  # (name, sha256) of each table, including bad rows
    known_fingerprint: str = ""  # of an outline
    weighted: bool = False  # each picture has a weight
    targets: tuple[Target, ...] = ()  # the regression targets of each picture

    def outline(self) -> Plan:
        """The same without the lines, which use nearly all of its memory: for what follows when
        they are in files.
        """
        shards = tuple(dataclasses.replace(shard, lines=()) for shard in self.shards)
        return dataclasses.replace(self, shards=shards, known_fingerprint=self.fingerprint())

    def fingerprint(self) -> str:
        """Hash of all inputs."""
        if self.known_fingerprint:
            return self.known_fingerprint
        shards = [shard.fingerprint(self.options) for shard in self.shards]
        return sha256_text(json.dumps([self.options.to_json(), self.classes, self.tables, shards]))


def make_plan(source: Source, options: Options) -> Plan:
    """Divides the pictures and triplets of a source among shards.

    Raises DataError if there is no picture, or two ids have the same key. A dataset without a
    training split is allowed: it can be used for evaluation.
    """
    splits = sorted({p.split for p in source.pictures} | {t.split for t in source.triplets})
    if not source.pictures:
        raise DataError(
            f"no pictures: {source.counted} inputs, of which {len(source.rejections)} were refused"
        )
    _check_keys(source.pictures)
    refused = _refused_keys(source)
    shards: list[ShardPlan] = []
    for split in splits:
        pictures = [p for p in source.pictures if p.split == split]
        variants = options.variants if split == "train" else 1
        shards.extend(_image_shards(split, pictures, source, variants, options))
        triplets = [t for t in source.triplets if t.split == split]
        if triplets:
            shards.extend(_triplet_shards(split, triplets))
    tables = tuple(sorted(source.tables.items()))
    return Plan(
        options,
        tuple(source.classes),
        tuple(shards),
        refused,
        tables,
        weighted=source.weighted,
        targets=tuple(source.targets),
    )


def shard_count(records: int, estimated_bytes: float) -> int:
    """The shard count from the ladder for shards of about SHARD_BYTES."""
    at_least_for_size = estimated_bytes / SHARD_BYTES
    at_least_for_work = min(SMALL_SET_SHARDS, records / SMALL_SHARD_RECORDS)
    wanted = max(at_least_for_size, at_least_for_work)
    for rung in LADDER:
        if rung >= wanted:
            return rung
    return -(-int(wanted) // LADDER[-1]) * LADDER[-1]


def _check_keys(pictures: Iterable[Picture]) -> None:
    by_key: dict[int, str] = {}
    for picture in pictures:
        other = by_key.setdefault(image_key(picture.id), picture.id)
        if other != picture.id:
            raise DataError(f"the ids '{other}' and '{picture.id}' have the same hash: rename one")


def _refused_keys(source: Source) -> frozenset[int]:
    """Keys of missing pictures that triplets name."""
    planned = {p.id for p in source.pictures}
    missing = {name for t in source.triplets for name in t.ids if name not in planned}
    return frozenset(map(image_key, missing))


def _image_shards(
    split: str,
    pictures: Sequence[Picture],
    source: Source,
    variants: int,
    options: Options,
) -> Iterable[ShardPlan]:
    # For a million pictures the lines must be kept, so each entry is freed once it is a line.
    keyed: list[tuple[int, str]] = []
    of_files = 0
    for picture in pictures:
        entry = _entry(picture, source.stat)
        keyed.append((entry.key, _line(entry)))
        of_files += entry.bytes if entry.item is None else 0
    keyed.sort(key=operator.itemgetter(0))
    count = options.shards or shard_count(
        len(keyed), _estimated_bytes(len(keyed), of_files, options)
    )
    lines: list[list[str]] = [[] for _ in range(count)]
    for key, line in keyed:
        lines[shard_of(key, count)].append(line)
    for shard in range(count):
        inputs = len(lines[shard])
        yield ShardPlan(
            split, "images", shard, count, variants, tuple(lines[shard]), inputs, source.root
        )


def _entry(picture: Picture, stat: Callable[[str], Info]) -> PictureEntry:
    try:
        info = stat(picture.path)
    except OSError as error:
        raise DataError(
            f"'{picture.path}' disappeared while the input was read: {error.strerror}"
        ) from None
    return PictureEntry(
        picture.id,
        image_key(picture.id),
        picture.label,
        picture.path,
        picture.item,
        picture.line,
        info.size,
        info.version,
        picture.features,
    )


def _estimated_bytes(pictures: int, of_files: int, options: Options) -> float:
    if options.image_size:
        return pictures * options.image_size**2 * BYTES_PER_PIXEL[options.encoding]
    return of_files


def _triplet_shards(split: str, triplets: list[Triplet]) -> Iterable[ShardPlan]:
    count = shard_count(len(triplets) // 8, len(triplets) * TRIPLET_BYTES)
    for shard in range(count):
        first, last = len(triplets) * shard // count, len(triplets) * (shard + 1) // count
        lines = tuple(
            _line(TripletEntry(t.ids, t.votes, t.type, t.line)) for t in triplets[first:last]
        )
        yield ShardPlan(split, "triplets", shard, count, 1, lines, len(lines))


def _line(entry: PictureEntry | TripletEntry) -> str:
    # ASCII: a Unicode line separator in an id must not split a line of the file.
    return entry.to_json()
