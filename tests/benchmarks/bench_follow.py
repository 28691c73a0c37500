"""Kills a training and its follower ten times at random, and compares where the training ends.

    python -m tests.benchmarks.bench_follow [--kills=10] [--seed=0] [--json]

A small classifier with data.variants=live, 3 steps a pass; a dataset of the originals, and a
follower with --ahead=2 --keep=3. One undisturbed run on a dataset that `build` gave all variants;
in the other, trainer or follower (drawn anew each time) gets KILL or TERM when the run is at a
random step, and the same command is started again. Shown is whether `weights_digest` is the same,
the most variants that lay on the disk at a time, and whether each record of each pass was trained
on once.
Exits with 1 where anything differs.
"""

from __future__ import annotations

import argparse
import functools
import json
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.trainer import datasets, kills, live_runs

PASSES, A_PASS, RECORDS, BATCH = 20, 3, 21, 8
AHEAD, KEEP = 2, 3
CONFIG = {
    **datasets.CLASSIFICATION,
    "deterministic": True,
    "epochs": PASSES,
    "checkpoint.every_steps": 2,
    "data.log_records": True,
    "data.variants": "live",
}


def killed(folder: Path, data: str, count: int, seed: int) -> dict[str, Any]:
    """The run with kills."""
    rng, run = random.Random(seed), folder / "killed"
    config = datasets.write_config(folder / "killed.py", CONFIG)
    flags = ["train", f"--config={config}", f"--data={data}", f"--workdir={run}"]
    sizes = (f"--ahead={AHEAD}", f"--keep={KEEP}", "--workers=1", "--recipe=photos")
    watch = live_runs.DiskWatch(data)
    watch.start()
    happened = []
    trainer = live_runs.started(flags, run)
    follower = live_runs.follower(data, run, *sizes)
    try:
        for step in sorted(rng.sample(range(1, PASSES * A_PASS), count)):
            # A life that resumes may be past the step: a kill comes after one of its own.
            moment = kills.Watch(run, A_PASS)
            kill = kills.Kill(step, rng.choice([signal.SIGKILL, signal.SIGTERM]))
            kills.wait_for(functools.partial(moment.has_come, kill))
            if rng.random() < 0.5:
                code = live_runs.kill(trainer, kill.number)
                happened.append(f"trainer: {kill}, ended with {code}")
                trainer = live_runs.started(flags, run)
            else:
                code = live_runs.kill(follower, kill.number)
                happened.append(f"follower: {kill}, ended with {code}")
                follower = live_runs.follower(data, run, *sizes)
            print(f"  {happened[-1]}", file=sys.stderr, flush=True)
        code = trainer.wait(kills.DEADLINE_SECONDS)
        assert code == 0, run.with_suffix(".stderr").read_text()
        assert follower.wait(300) == 0, run.with_suffix(".follower").read_text()
    finally:
        watch.end()
        for process in (trainer, follower):
            process.kill()
            process.wait()
    kills.check_records(run, PASSES * A_PASS, RECORDS, BATCH)
    digest = live_runs.report_of(run)["weights_digest"]
    return {"digest": digest, "kills": happened, "most": watch.most}


def measure(folder: Path, count: int, seed: int) -> dict[str, Any]:
    """Both runs."""
    begun = time.monotonic()
    whole, calm = live_runs.class_data(folder, PASSES, "whole"), folder / "calm"
    config = datasets.write_config(folder / "calm.py", CONFIG)
    flags = ["train", f"--config={config}", f"--data={whole}", f"--workdir={calm}"]
    code, said = kills.live(flags, calm, None, A_PASS)
    assert code == 0, said
    found = killed(folder, live_runs.class_data(folder, 1, "one"), count, seed)
    same = found["digest"] == live_runs.report_of(calm)["weights_digest"]
    return {
        "steps": PASSES * A_PASS,
        "kills": found["kills"],
        "same_weights": same,
        "records_once": True,  # check_records() fails otherwise
        "most_variants": found["most"],
        "allowed_variants": AHEAD + KEEP,
        "seconds": time.monotonic() - begun,
        "ok": same and found["most"] <= AHEAD + KEEP and len(found["kills"]) == count,
    }


def main() -> None:
    """Runs and prints: a line, or one JSON object with --json."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=10, help="of trainer and follower together")
    parser.add_argument("--seed", type=int, default=0, help="of the kills")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), arguments.kills, arguments.seed)
    if arguments.json:
        print(json.dumps(found))
    else:
        print(
            f"{len(found['kills'])} kills in {found['steps']} steps; weights the same: "
            f"{found['same_weights']}, each record of a pass once; at most "
            f"{found['most_variants']} live variants on the disk, {found['allowed_variants']} "
            f"allowed ({found['seconds']:.0f} s)"
        )
    sys.exit(0 if found["ok"] else 1)


if __name__ == "__main__":
    main()
