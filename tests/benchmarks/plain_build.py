"""The other side of the speed benchmark: `build_image_shard` called in a loop, one process.

    python -m tests.benchmarks.plain_build BUILD FLAGS

Takes the flags of `preprocess build` and builds every other training shard. Prints one JSON
object: variants, seconds and cpu_seconds, importing and planning not counted.
"""

from __future__ import annotations

import json
import os
import sys
import time

import cv2
from absl import flags

from preprocess.build.builder import plan_build
from preprocess.commands.request import build_request
from preprocess.dataset_format import IMAGES
from preprocess.shards.build_shard import build_image_shard
from preprocess.shards.workspace import Workspace


def main() -> None:
    """Plan, build, print."""
    flags.FLAGS(sys.argv)
    request = build_request([])
    os.makedirs(request.output)
    _, plan = plan_build(request)
    workspace = Workspace(request.output)
    workspace.write_plan(plan.options, plan.shards, plan.refused_keys)
    cv2.setNumThreads(0)
    shards = [s for s in plan.shards if s.kind == IMAGES and s.split == "train"][::2]
    started, cpu_started = time.perf_counter(), time.process_time()
    reports = [build_image_shard(request.output, shard.name) for shard in shards]
    print(
        json.dumps(
            {
                "variants": sum(shard.records for report in reports for shard in report.shards),
                "seconds": time.perf_counter() - started,
                "cpu_seconds": time.process_time() - cpu_started,
            }
        )
    )


if __name__ == "__main__":
    main()
