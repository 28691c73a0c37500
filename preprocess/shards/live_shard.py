"""Building one picture shard of one live variant, as build_shard.py builds those of the dataset.

The plan is the one that `preprocess build` has left in DATASET/.build, so a live variant has the
bytes that `preprocess build` with more --variants would have given it.
"""

from __future__ import annotations

import dataclasses
import os

from preprocess.live_format import LIVE_FOLDER
from preprocess.shards.build_shard import write_variants
from preprocess.shards.commit_marker import ShardReport
from preprocess.shards.shard_plan import Options
from preprocess.shards.shard_progress import Advance
from preprocess.shards.workspace import Workspace
from preprocess.shell.errors import ConfigError, DataError


def live_workspace(dataset: str) -> Workspace:
    """The commit markers of the live variants of a dataset."""
    return Workspace(os.path.join(dataset, LIVE_FOLDER))


def marker_name(shard: str, variant: int) -> str:
    """The name of the commit marker of a shard (its plan's name) in a live variant."""
    return f"{shard}-variant-{variant:05d}"


def build_options(dataset: str) -> Options:
    """The options that a dataset was built with.

    Raises ConfigError if `preprocess build` has not written them here.
    """
    options = Workspace(dataset).options()
    if options is None:
        raise ConfigError(
            f"'{dataset}' has no record of its build (.build), which new variants are made from: "
            "give the directory that `preprocess build` wrote, not a copy by `fetch` or `push`"
        )
    return options


def build_live_shard(
    dataset: str, name: str, variant: int, recipe: str, advance: Advance = lambda _: None
) -> ShardReport:
    """Builds a picture shard in one variant by a recipe in canonical YAML, or nothing if it is
    there; returns its marker.

    Raises DataError if the pictures are no longer those that the dataset was built from.
    """
    base, live = Workspace(dataset), live_workspace(dataset)
    options = dataclasses.replace(build_options(dataset), recipe=recipe)
    plan = dataclasses.replace(base.shard_plan(name), variants=variant + 1)
    marker = marker_name(name, variant)
    done = live.report(marker)
    if done is not None and (done.fingerprint, done.drawing) == (
        plan.fingerprint(options),
        options.drawing,
    ):
        return done
    live.withdraw_marker(marker)
    report = write_variants(live.dataset, plan, options, range(variant, variant + 1), advance)
    before = base.report(name)
    if before is None or (
        before.refused_keys != report.refused_keys or before.content not in ("", report.content)
    ):
        refused = f"; the first refused: {report.rejections[0]}" if report.rejections else ""
        raise DataError(
            f"the pictures of shard {name} are not those that '{dataset}' was built from: bring "
            f"them back, or build the dataset again{refused}"[:500]
        )
    live.commit(marker, report)
    return report
