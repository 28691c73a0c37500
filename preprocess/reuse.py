"""What an earlier build left that need not be built again.

Of a picture shard that is a number of variants, from 0 on: its plan's fingerprint decides variant
0, seed and recipe beside it the others. So variants can be added to a set that is finished, or
half of one, and a changed recipe (with --overwrite) leaves the pictures as they came alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container, Mapping, Sequence

from preprocess.augment import Recipe
from preprocess.dataset_format import IMAGES, TRIPLETS, Manifest
from preprocess.errors import ConfigError
from preprocess.plan import Options, Plan, ShardPlan, TripletEntry
from preprocess.versions import deciding_versions
from preprocess.workspace import ShardReport, Workspace


def variants_kept(report: ShardReport | None, plan: ShardPlan, options: Options) -> int:
    """How many variants of a picture shard, from 0 on, are there as they should be."""
    if report is None or report.fingerprint != plan.fingerprint(options):
        return 0
    drawn_alike = report.drawing == options.drawing
    return min(len(report.shards), plan.variants if drawn_alike else 1)


def still_good(
    workspace: Workspace, plan: Plan, recipe: Recipe | None, overwrite: bool
) -> dict[str, ShardReport]:
    """What is kept, by the name of the shard: the marker of the variants that are.

    A triplet shard's fingerprint is known only when all pictures are done; until then its
    marker is taken as it is, and looked at again by build_triplet_shard().

    Raises ConfigError where something is to be built and what is there was made by other
    versions of the libraries: half a dataset by one OpenCV and half by another would be neither.
    With `overwrite` all of that is built again.
    """
    images = [shard for shard in plan.shards if shard.kind == IMAGES]
    found = workspace.reports([shard.name for shard in plan.shards])
    kept = {}
    for shard in images:
        report = found.get(shard.name)
        variants = variants_kept(report, shard, plan.options)
        if report is not None and variants:
            kept[shard.name] = report.first(variants)
    here = deciding_versions(recipe.libraries if recipe else ())
    others = {name for name, report in kept.items() if _differences(report, here)}
    if others and overwrite:
        kept = {name: report for name, report in kept.items() if name not in others}
    elif others and not _all_there(kept, images):
        differences = ", ".join(_differences(kept[min(others)], here))
        raise ConfigError(
            f"'{workspace.dataset}' was begun with {differences}; install that, give another "
            "--output, or --overwrite to build all of it again"
        )
    refused = set(plan.refused_keys).union(*(report.refused_keys for report in kept.values()))
    all_done = _all_there(kept, images)
    for shard in plan.shards:
        if shard.kind != TRIPLETS or (report := found.get(shard.name)) is None:
            continue
        if not all_done or report.fingerprint == triplet_fingerprint(shard, plan.options, refused):
            kept[shard.name] = report
    return kept


def complete(kept: Mapping[str, ShardReport], plan: Plan) -> bool:
    """Whether nothing is left to build."""
    return _all_there(kept, plan.shards)


def stands(manifest: Manifest | None, kept: Mapping[str, ShardReport]) -> bool:
    """Whether a manifest speaks only of files that stay as they are: readers may go on with it
    while variants are added.
    """
    if manifest is None:
        return False
    files = {shard.file for report in kept.values() for shard in report.shards}
    return all(s.file in files for split in manifest.splits.values() for s in split.shards)


def files_kept(report: ShardReport, before: ShardReport | None) -> int:
    """How many of a finished shard's files an earlier build had written."""
    if before is None or before.fingerprint != report.fingerprint:
        return 0
    return len(set(report.shards) & set(before.shards))


def triplet_fingerprint(plan: ShardPlan, options: Options, refused: Container[int]) -> str:
    """Fingerprint of a triplet shard: which of its pictures were refused decides it too, and is
    known only when all pictures are done.
    """
    entries = (TripletEntry(**json.loads(line)) for line in plan.lines)
    touched = sorted({key for entry in entries for key in entry.keys if key in refused})
    return hashlib.sha256(f"{plan.fingerprint(options)} {touched}".encode()).hexdigest()


def _all_there(kept: Mapping[str, ShardReport], shards: Sequence[ShardPlan]) -> bool:
    return all(s.name in kept and len(kept[s.name].shards) == s.variants for s in shards)


def _differences(report: ShardReport, here: Mapping[str, str]) -> list[str]:
    # What a recipe of the past needed, and this one does not, is of no matter.
    return [
        f"{name} {version} (here {here[name]})"
        for name, version in report.libraries.items()
        if here.get(name, version) != version
    ]
