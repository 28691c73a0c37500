"""Finds what an earlier build left that need not be built again.

For a picture shard that is a number of variants, from 0 on: its plan's fingerprint determines
variant 0, together with seed and recipe the others. So variants can be added to a dataset that is
finished, or half of one. Pictures are identified by path relative to the input folder, size and
modification time; if the time differs, or is the same for all files, by content.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from preprocess.augment import Recipe
from preprocess.build.dataset_plan import Plan
from preprocess.dataset_format import IMAGES, TRIPLETS, Manifest
from preprocess.shards.commit_marker import (
    ShardReport,
    is_of,
    triplet_fingerprint,
    variants_kept,
)
from preprocess.shards.contents import content_of
from preprocess.shards.shard_plan import Options, ShardPlan
from preprocess.shards.versions import deciding_versions
from preprocess.shards.workspace import Workspace
from preprocess.shell.cli import say
from preprocess.shell.errors import ConfigError


def still_good(
    workspace: Workspace, plan: Plan, recipe: Recipe | None, overwrite: bool
) -> dict[str, ShardReport]:
    """The reusable shards by name, each with the marker of its reusable variants.

    A triplet shard's fingerprint is known only when all pictures are done; until then its marker is
    trusted, and checked again by build_triplet_shard().

    Raises ConfigError if something has to be built and existing parts were made by other library
    versions: a dataset half by one OpenCV and half by another would match neither. With `overwrite`
    nothing is reused except what an interrupted build with --overwrite has built.
    """
    if overwrite and not workspace.is_overwriting:
        return {}
    images = [shard for shard in plan.shards if shard.kind == IMAGES]
    found = workspace.reports([shard.name for shard in plan.shards])
    found = _by_content(found, images, plan.options)
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
            f"'{workspace.dataset}' was started with {differences}; install those versions, set "
            "another --output, or --overwrite to rebuild everything"
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
    """Whether a manifest only names files that stay unchanged: readers may then keep using it while
    variants are added.
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


def _by_content(
    found: Mapping[str, ShardReport], images: Sequence[ShardPlan], options: Options
) -> dict[str, ShardReport]:
    """The markers of shards whose modification times differ but whose content does not."""
    unsure = {}
    for shard in images:
        report = found.get(shard.name)
        if report is None or not report.content:
            continue
        if is_of(report, shard, options):
            if shard.times_say_nothing:
                unsure[shard.name] = shard
        elif report.untimed == shard.untimed_fingerprint(options):
            unsure[shard.name] = shard
    if not unsure:
        return dict(found)
    pictures = sum(shard.inputs for shard in unsure.values())
    say(f"modification times do not show whether {pictures} pictures changed; comparing content")
    with ThreadPoolExecutor(min(8, len(os.sched_getaffinity(0)))) as threads:
        contents = dict(zip(unsure, threads.map(content_of, unsure.values()), strict=True))
    decided = dict(found)
    for name, shard in unsure.items():
        report = decided.pop(name)
        if contents[name] == report.content:
            fingerprint = shard.fingerprint(options)
            decided[name] = dataclasses.replace(report, fingerprint=fingerprint)
    return decided


def _all_there(kept: Mapping[str, ShardReport], shards: Sequence[ShardPlan]) -> bool:
    return all(s.name in kept and len(kept[s.name].shards) == s.variants for s in shards)


def _differences(report: ShardReport, here: Mapping[str, str]) -> list[str]:
    # What an earlier recipe needed, and this one does not, is irrelevant.
    return [
        f"{name} {version} (here {here[name]})"
        for name, version in report.libraries.items()
        if here.get(name, version) != version
    ]
