"""A data set of the size of Google FEC, from its pictures to a resumed training.

    python -m tests.benchmarks.bench_fec [--faces=N] [--triplets=N] [--folder=DIR] [--json]

Made-up faces of 112x112 take the place of the photos, which are not ours to give. Each command
runs as a user runs it, one after the other: the set is made, planned, built in four variants,
verified, checked by the trainer, trained for 100 steps of 64 triplets with all variants and a
small convolutional network, resumed to 200, and trained by two workers of this machine.

Seconds are those from the start of a command to its end. Memory is what all processes of the
command hold together at the same time, at its highest, where pages that several share count once
(PSS, looked at twice a second, less often where a look takes long); what the kernel keeps of
files is not in it.

The bars: the set is made in 210 s (a tenth of what it once took), the first step is done 20 s
after the command, and a training's processes together take 1.3 decoded tables at the most.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from tests.benchmarks.build_runs import ROOT
from trainer.monitoring.time_account import read_attempts
from trainer.monitoring.timeline import Activity
from trainer.training.run_directory import RunDirectory

FACES, TRIPLETS, SIDE, VARIANTS = 136_298, 408_512, 112, 4
TEST_FRACTION = 0.1
STEPS = 100
POLL_SECONDS = 0.5
SYNTH_SECONDS_BAR, FIRST_STEP_BAR, TABLES_BAR = 210.0, 20.0, 1.3
TRAINING = {
    "model.backbone": "cnn",
    "image_size": SIDE,
    "steps_per_epoch": STEPS,
    "validation_steps": 10,
    "data.variants": 0,  # all of them in turn
}


@dataclasses.dataclass(frozen=True)
class Measured:
    """A command that ended well."""

    seconds: float
    peak_bytes: int  # of all its processes together
    began: float  # seconds since 1970


def measured(*command: str) -> Measured:
    """Runs `python -m ...` to its end; raises RuntimeError where it fails."""
    began, pause = time.time(), POLL_SECONDS
    peak = 0
    with tempfile.TemporaryFile() as said:
        process = psutil.Popen(
            [sys.executable, "-m", *command], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=said
        )
        while True:
            try:
                code = process.wait(pause)
                break
            except psutil.TimeoutExpired:
                looked = time.monotonic()
                peak = max(peak, _shared_memory(process))
                # Of many gigabytes a look takes long, and the process waits for it.
                pause = max(POLL_SECONDS, 20 * (time.monotonic() - looked))
        if code:
            said.seek(0)
            last = said.read().decode("utf-8", "replace")[-2000:]
            raise RuntimeError(f"{' '.join(command)}: exit code {code}\n{last}")
    return Measured(time.time() - began, peak, began)


def _shared_memory(process: psutil.Process) -> int:
    """Proportional bytes of a process and all that it started."""
    total = 0
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for member in family:
        try:
            total += member.memory_full_info().pss
        except psutil.NoSuchProcess:  # it ended meanwhile
            continue
    return total


def stored_bytes(folder: Path) -> int:
    """The bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def first_step_seconds(run: Path, began: float) -> float:
    """From the start of a command to the end of the first step of the run's last attempt."""
    attempt = read_attempts(Path(RunDirectory(str(run)).timeline_file(0)))[-1]
    steps = next(moment for moment in attempt.moments if moment.activity == Activity.STEPS)
    return steps.at - began


def measure(folder: Path, faces: int, triplets: int) -> dict[str, Any]:
    """All commands in turn, a line each on stderr."""
    made, dataset, run, two = (folder / name for name in ("made", "dataset", "run", "two"))
    table = [f"--csv={made / 'labels.csv'}", f"--images={made / 'images_cropped'}"]
    build = ["--source=fec", f"--variants={VARIANTS}", *table, f"--output={dataset}"]
    config = [f"--config.{key}={value}" for key, value in TRAINING.items()]
    train = ["trainer", "train", "--config=fec_triplet", *config, f"--data={dataset}"]
    sizes = [f"--faces={faces}", f"--triplets={triplets}", f"--test_fraction={TEST_FRACTION}"]
    commands = {
        "made": ["preprocess", "synth", f"--output={made}", *sizes],
        "planned": ["preprocess", "plan", *build],
        "built": ["preprocess", "build", *build],
        "verified": ["preprocess", "verify", str(dataset)],
        "checked": ["trainer", "check", *train[2:]],
        "trained": [*train, f"--workdir={run}", "--config.epochs=1"],
        "resumed": [*train, f"--workdir={run}", "--config.epochs=2"],
        "two workers": [*train, f"--workdir={two}", "--config.epochs=1", "--local_workers=2"],
    }
    runs = {"trained": run, "resumed": run, "two workers": two}
    results, first_steps = {}, {}
    for name, command in commands.items():
        found = measured(*command)
        told = f"{name:<12} {found.seconds:7.1f} s {found.peak_bytes / 1e9:6.2f} GB"
        if name in runs:
            first_steps[name] = first_step_seconds(runs[name], found.began)
            told += f", first step after {first_steps[name]:.1f} s"
        print(told, file=sys.stderr, flush=True)
        results[name] = dataclasses.asdict(found)
    table_bytes = round(faces * (1 - TEST_FRACTION)) * SIDE * SIDE * 3
    tables = {name: results[name]["peak_bytes"] / table_bytes for name in runs}
    return {
        "faces": faces,
        "triplets": triplets,
        "commands": results,
        "first_step_seconds": first_steps,
        "stored_bytes": {
            "pictures": stored_bytes(made / "images_cropped"),
            "table of triplets": (made / "labels.csv").stat().st_size,
            "dataset": stored_bytes(dataset),
            "run directory": stored_bytes(run),
        },
        "decoded_table_bytes": table_bytes,
        "decoded_tables_at_the_peak": tables,
        "met": {
            f"made in {SYNTH_SECONDS_BAR:g} s": results["made"]["seconds"] <= SYNTH_SECONDS_BAR,
            f"first step in {FIRST_STEP_BAR:g} s": max(first_steps.values()) <= FIRST_STEP_BAR,
            f"{TABLES_BAR:g} decoded tables": max(tables.values()) <= TABLES_BAR,
        },
    }


def main() -> None:
    """Measure and print: lines, or one JSON object with --json."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--faces", type=int, default=FACES)
    parser.add_argument("--triplets", type=int, default=TRIPLETS)
    parser.add_argument("--folder", help="where to work; a temporary folder by default")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        report = measure(Path(folder), arguments.faces, arguments.triplets)
    if arguments.json:
        print(json.dumps(report))
    else:
        for name, size in report["stored_bytes"].items():
            print(f"{name:<18} {size / 1e9:6.2f} GB")
        for name, count in report["decoded_tables_at_the_peak"].items():
            print(f"{name:<18} {count:.2f} decoded tables at the peak")
        for bar, met in report["met"].items():
            print(f"bar {bar}: {'ok' if met else 'MISSED'}")


if __name__ == "__main__":
    main()
