"""The result of a build, as `build --json` prints it, and as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from preprocess.augment import stage_clock as stages
from preprocess.build.dataset_plan import Plan
from preprocess.build.progress_bar import written
from preprocess.build.publish import all_shards
from preprocess.build.reuse import files_kept
from preprocess.dataset_format import IMAGES, Manifest
from preprocess.shards.commit_marker import ShardReport
from preprocess.shards.shard_progress import Tally


def summarise(
    manifest: Manifest,
    plan: Plan,
    reports: Sequence[ShardReport],
    kept: Mapping[str, ShardReport],
    seconds: float,
    building_seconds: float,
    spellings: Mapping[str, int],
) -> dict[str, Any]:
    """Counts of the whole dataset; rates and times of this build's additions.

    Args:
      manifest: of the finished dataset.
      plan: the plan of the build.
      reports: of each shard, in the plan's order.
      kept: what existed before, by shard name.
      seconds: from the start to the manifest.
      building_seconds: of that, for building shards, including the start of the workers.
      spellings: pictures found under another name than the table's, by kind of difference.

    Returns:
      Rates are 0 if nothing was built. `seconds_by_stage` and `seconds_by_operation` are sums over
      all workers.
    """
    files = len(all_shards(manifest))
    tally, reused = Tally(), 0
    spent = []
    for shard, report in zip(plan.shards, reports, strict=True):
        before = kept.get(shard.name)
        stayed = files_kept(report, before)
        reused += stayed
        if stayed == len(report.shards):
            continue
        spent.append(report.seconds)
        if shard.kind == IMAGES:
            tally += written(report, before)
    laps = stages.total(spent)
    return {
        "digest": manifest.digest,
        "pictures": sum(split.images for split in manifest.splits.values()),
        "triplets": sum(split.triplets for split in manifest.splits.values()),
        "variants": manifest.variants,
        "seconds": round(seconds, 3),
        "rejected": manifest.rejected,
        "spellings": dict(spellings),
        "shards_written": files - reused,
        "shards_reused": reused,
        "building_seconds": round(building_seconds, 3),
        **tally.per_second(max(building_seconds, 1e-3)),
        "seconds_by_stage": _rounded(stages.by_stage(laps)),
        "seconds_by_operation": _rounded(stages.by_operation(laps)),
    }


def in_words(summary: Mapping[str, Any], output: str) -> Iterator[str]:
    """The summary as lines for a terminal."""
    triplets = f", {summary['triplets']} triplets" if summary["triplets"] else ""
    yield (
        f"{summary['pictures']} pictures x {summary['variants']} variants{triplets} in "
        f"{summary['seconds']:.1f} s; {summary['shards_written']} files written, "
        f"{summary['shards_reused']} reused"
    )
    if summary["pictures_per_second"]:
        yield (
            f"{summary['pictures_per_second']:.1f} pictures/s, "
            f"{summary['variants_per_second']:.1f} variants/s, "
            f"{summary['megabytes_per_second']:.2f} MB/s, including the start of the workers"
        )
    rejected = summary["rejected"]
    if rejected["count"]:
        reasons = ", ".join(f"{count} {reason}" for reason, count in rejected["by_reason"].items())
        yield f"refused {rejected['count']}: {reasons} (see {output}/rejected.jsonl)"
    if summary["spellings"]:
        kinds = ", ".join(f"{count} {kind}" for kind, count in summary["spellings"].items())
        yield f"found under another spelling: {kinds}"
    if summary["seconds_by_stage"]:
        yield "\nwhere the workers' time went"
        yield stages.table(summary["seconds_by_stage"], summary["seconds_by_operation"])
        yield ""
    yield f"digest {summary['digest']}\n{output}"


def _rounded(seconds: Mapping[str, float]) -> dict[str, float]:
    return {name: round(spent, 3) for name, spent in seconds.items()}
