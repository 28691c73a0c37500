r"""Estimates what a build would cost, before any work: the flags of `build`, nothing is written.

    python -m preprocess plan --source=fec --csv=labels.csv --images=images_cropped \
        --output=DATASET --variants=10

Reports pictures, triplets, bytes, shards and core-hours, from 200 pictures of each split built in
memory, and where the time would go; warns about shards that do not divide evenly, are tiny or huge,
faces or pictures in two splits, triplets without a majority, and pictures that are refused.
"""

from __future__ import annotations

import os
from typing import Any

from absl import flags

from preprocess.augment import stage_clock as stages
from preprocess.commands import request as shared
from preprocess.shell.cli import print_json

flags.adopt_module_key_flags(shared)
_JSON = flags.DEFINE_bool("json", False, "Print one JSON object.")


def main(arguments: list[str]) -> None:
    """Plans and prints."""
    from preprocess.build.builder import plan_build
    from preprocess.build.estimate import estimate

    request = shared.build_request(arguments)
    workers = request.workers or len(os.sched_getaffinity(0))
    found = estimate(*plan_build(request), workers)
    if _JSON.value:
        print_json(found)
    else:
        _print(found, workers)


def _print(found: dict[str, Any], workers: int) -> None:
    print("split         pictures  variants  triplets  shards        MB")
    for name, row in found["splits"].items():
        print(
            f"{name:<12}{row['pictures']:>10}{row['variants']:>10}{row['triplets']:>10}"
            f"{row['shards']:>8}{row['bytes'] / 1e6:>10.1f}"
        )
    print(
        f"\n{found['bytes'] / 1e9:.2f} GB, {found['core_hours']:.2f} core-hours, "
        f"about {_duration(found['hours'] * 3600)} on {workers} workers"
    )
    print(stages.table(found["seconds_by_stage"], found["seconds_by_operation"]))
    if found["refused_rows"]:
        print(f"{found['refused_rows']} rows or pictures are refused already")
    if found["triplet_types"]:
        print("triplet types   " + _counts(found["triplet_types"]))
        print("highest vote    " + _counts(found["vote_agreement"]) + "   (from ... on)")
    for warning in found["warnings"]:
        print(f"warning: {warning}")


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _counts(counts: dict[str, int]) -> str:
    return "  ".join(f"{name} {count}" for name, count in sorted(counts.items()))
