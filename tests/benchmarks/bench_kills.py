"""Kills a training ten times, by KILL and TERM in equal parts, and compares where it ends.

    python -m tests.benchmarks.bench_kills [--kills=10] [--seed=0] [--json]

Two runs on two virtual replicas, MobileNetV2 from random weights (BatchNorm statistics a
replica, dropout in the head), on-device augmentation, AdaBound, cuts of the learning rate on a
plateau, early stopping that fires; data in several variants:

* triplets, one step a call;
* classes, three steps a call.

Each is run undisturbed and with kills at random steps, during saves and during validations.
Shown is whether `weights_digest` and the rows of metrics.jsonl are the same bit for bit, and
whether each record of each pass was trained on once, by the log that the run itself keeps.
Exits with 1 where anything differs.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.trainer import datasets
from tests.trainer.kills import (
    check_killed,
    check_records,
    draw_kills,
    live,
    rows_without_times,
)

EPOCHS, STEPS_PER_EPOCH, PATIENCE = 14, 4, 11
# Nothing is better by 100 than the first epoch, so the run stops after PATIENCE more.
STEPS = (1 + PATIENCE) * STEPS_PER_EPOCH
SHARED = {
    "deterministic": True,
    "epochs": EPOCHS,
    "steps_per_epoch": STEPS_PER_EPOCH,  # of the passes, 5 and 3 steps: epochs end within passes
    "virtual_replicas": 2,
    "image_size": 32,
    "model.backbone": "keras:MobileNetV2",
    "model.dropout": 0.4,
    "augment.enabled": True,
    "augment.resize_to": 36,
    "augment.crop": 32,
    "augment.flip": True,
    "augment.cutout": 8,
    "augment.rotation": 0.1,
    "optimizer.name": "adabound",
    "checkpoint.every_steps": 3,
    "checkpoint.keep": 1,
    "early_stopping.patience": PATIENCE,
    "early_stopping.min_delta": 100.0,
    "reduce_on_plateau.patience": 2,
    "reduce_on_plateau.factor": 0.5,
    "data.log_records": True,
}
CASES: dict[str, tuple[dict[str, Any], int]] = {
    "triplets": ({**datasets.TRIPLET, **SHARED}, 33),
    "classes": ({**datasets.CLASSIFICATION, **SHARED, "steps_per_execution": 3}, 21),
}


def train(folder: Path, case: str, data: str, kills: list[Any]) -> dict[str, Any]:
    """A run with kills; what report.json says, and what happened."""
    base, records = CASES[case]
    run = folder / f"{case}-{len(kills)}"
    config = datasets.write_config(folder / f"{case}.py", base)
    flags = ["train", f"--config={config}", f"--data={data}", f"--workdir={run}"]
    happened = []
    for kill in kills:
        code, said = live(flags, run, kill, STEPS_PER_EPOCH)
        if code == 0:
            break  # it ended before the moment came
        check_killed(kill, code, said)
        torn = [path.name for path in run.glob("checkpoints/*/tmp-*")]
        happened.append({"kill": str(kill), "code": code, "torn": len(torn)})
        print(f"  {case}: {kill}, ended with {code}", file=sys.stderr, flush=True)
    else:
        code, said = live(flags, run, None, STEPS_PER_EPOCH)
    assert code == 0, said
    report: dict[str, Any] = json.loads((run / "report.json").read_text(encoding="utf-8"))
    check_records(run, report["steps"], records, base["batch_size"])
    return {
        "digest": report["weights_digest"],
        "steps": report["steps"],
        "stopped": report["stopped"],
        "rows": rows_without_times(run),
        "kills": happened,
    }


def measure(folder: Path, seed: int, count: int) -> dict[str, Any]:
    """Both cases, undisturbed and killed."""
    found: dict[str, Any] = {"ok": True}
    for number, case in enumerate(CASES):
        make = datasets.triplets if case == "triplets" else datasets.class_folders
        data = make(folder)
        begun = time.monotonic()
        calm = train(folder, case, data, [])
        killed = train(folder, case, data, draw_kills(seed + number, count, STEPS))
        rates = [row["learning_rate"] for row in calm["rows"]]
        found[case] = {
            "steps": killed["steps"],
            "stopped_early": calm["stopped"].startswith("early"),
            "rate_cuts": len(set(rates)) - 1,
            "kills": killed["kills"],
            "same_weights": killed["digest"] == calm["digest"],
            "same_rows": killed["rows"] == calm["rows"],
            "records_once": True,  # check_records() fails otherwise
            "seconds": time.monotonic() - begun,
        }
        same = found[case]["same_weights"] and found[case]["same_rows"]
        found["ok"] = found["ok"] and same and len(killed["kills"]) == count
    return found


def main() -> None:
    """Runs and prints: a table, or one JSON object with --json."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=10, help="of each of the two runs")
    parser.add_argument("--seed", type=int, default=0, help="of the kills")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), arguments.seed, arguments.kills)
    if arguments.json:
        print(json.dumps(found))
    else:
        for case in CASES:
            row = found[case]
            print(
                f"{case}: {len(row['kills'])} kills in {row['steps']} steps, "
                f"{row['rate_cuts']} cuts of the rate, stopped early: {row['stopped_early']}; "
                f"weights the same: {row['same_weights']}, rows the same: {row['same_rows']}, "
                f"each record of a pass once ({row['seconds']:.0f} s)"
            )
    sys.exit(0 if found["ok"] else 1)


if __name__ == "__main__":
    main()
