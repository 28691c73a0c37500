"""A training of 1,250 epochs, as ten hours of 200 steps of 144 ms have them, with small steps.

    python -m tests.benchmarks.bench_long_run [--epochs=1250] [--json]

What could grow with the epochs of a run is looked at: the memory of its process, from a third of
the epochs to the end, the report, and metrics.jsonl. Every epoch is validated, saved and logged to
TensorBoard, and the run is killed once, as a long one may be.

The bars: memory grows by less than 2 % and 30 MB; the report takes less than 5 s (its processor
time is printed beside it, as a busy machine takes longer); metrics.jsonl has a row an epoch and is
read by pandas, where it is installed, and as strict JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.trainer import datasets
from trainer.monitoring.time_account import account, read_attempts
from trainer.monitoring.timeline import Activity, read_note
from trainer.training.run_directory import RunDirectory

GROWTH_BAR, GROWTH_BYTES_BAR = 1.02, 30e6
REPORT_SECONDS_BAR = 5.0
POLL_SECONDS, AT_THE_END_SECONDS = 0.5, 0.02
CONFIG = {
    **datasets.CLASSIFICATION,
    "steps_per_epoch": 4,
    "model.backbone": "mlp",
    "data.image_table": "decoded",
    "checkpoint.keep": 1,
}


def train(
    folder: Path, data: str, epochs: int, kill_after: int = 0
) -> tuple[dict[int, int], float]:
    """A life of the run, killed after an epoch where that is wanted: its memory by epoch, and the
    processor's seconds that its report took.
    """
    run = RunDirectory(str(folder / "run"))
    config = datasets.write_config(folder / "config.py", CONFIG, epochs=epochs)
    flags = [f"--config={config}", f"--data={data}", f"--workdir={run.path}"]
    memory: dict[int, int] = {}
    epoch, until_report = 0, 0.0
    before = children_seconds()
    with open(folder / "stderr.txt", "ab") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "trainer", "train", *flags],
            cwd=datasets.REPOSITORY,
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
        try:
            while process.poll() is None:
                time.sleep(POLL_SECONDS if epoch < epochs else AT_THE_END_SECONDS)
                if epoch < epochs:
                    epoch = len(run.rows())
                    if used := resident_bytes(process.pid):
                        memory[epoch] = used
                elif not until_report:
                    note = read_note(run.timeline_file(0)) or {}
                    if note.get("activity") == Activity.REPORT:
                        until_report = processor_seconds(process.pid)
                if kill_after and epoch >= kill_after:
                    process.kill()
        finally:
            process.kill()
            process.wait()
    if not kill_after and process.returncode:
        raise RuntimeError((folder / "stderr.txt").read_text(encoding="utf-8")[-2000:])
    return memory, children_seconds() - before - until_report


def children_seconds() -> float:
    """The processor's seconds of children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def processor_seconds(process: int) -> float:
    """The processor's seconds of a process so far; 0 where it has ended."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2]
    except OSError:
        return 0.0
    user, system = fields.split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def resident_bytes(process: int) -> int:
    """The memory of a process; 0 where it has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    except OSError:
        return 0
    found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def between(memory: dict[int, int], first: float, last: float) -> float:
    """The median memory of some epochs."""
    return statistics.median(value for epoch, value in memory.items() if first <= epoch <= last)


def readers(file: Path, epochs: int) -> dict[str, bool]:
    """Who reads metrics.jsonl as a row an epoch: JSON that knows no NaN, and pandas."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    lines = file.read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line, parse_constant=refuse) for line in lines]
    found = {"json": [row["epoch"] for row in rows] == list(range(1, epochs + 1))}
    try:
        import pandas
    except ImportError:
        return found
    table = pandas.read_json(file, lines=True)
    numbers = table[["epoch", "loss", "val_loss", "learning_rate"]].dtypes
    found["pandas"] = len(table) == epochs and all(kind.kind in "if" for kind in numbers)
    return found


def measure(folder: Path, epochs: int) -> dict[str, Any]:
    """Trains all epochs in two lives and judges what is there."""
    data, begun = datasets.class_folders(folder), time.monotonic()
    train(folder, data, epochs, kill_after=epochs // 5)
    memory, of_processor = train(folder, data, epochs)
    run = RunDirectory(str(folder / "run"))
    spent = account(read_attempts(run.timeline_file(0))).seconds
    start, end = between(memory, 0.3 * epochs, 0.4 * epochs), between(memory, 0.9 * epochs, epochs)
    found: dict[str, Any] = {
        "epochs": epochs,
        "seconds": time.monotonic() - begun,
        "megabytes": {"from 30 %": start / 1e6, "from 90 %": end / 1e6},
        "report_seconds": spent[Activity.REPORT],
        "report_processor_seconds": of_processor,
        "report_bytes": run.report_file.stat().st_size,
        "read_by": readers(run.metrics_file, epochs),
    }
    found["ok"] = (
        end < start * GROWTH_BAR
        and end - start < GROWTH_BYTES_BAR
        and spent[Activity.REPORT] < REPORT_SECONDS_BAR
        and all(found["read_by"].values())
    )
    return found


def main() -> None:
    """Measure and print: lines, or one JSON object with --json."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=1250)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), arguments.epochs)
    if arguments.json:
        print(json.dumps(found))
    else:
        start, end = found["megabytes"].values()
        who = ", ".join(
            name if reads else f"NOT {name}" for name, reads in found["read_by"].items()
        )
        print(
            f"{found['epochs']} epochs in {found['seconds']:.0f} s\n"
            f"memory {start:.0f} MB from 30 % of the epochs, {end:.0f} MB from 90 %\n"
            f"report in {found['report_seconds']:.1f} s ({found['report_processor_seconds']:.1f} s "
            f"of the processor), {found['report_bytes'] / 1e6:.2f} MB\n"
            f"metrics.jsonl read by {who}\n"
            f"{'ok' if found['ok'] else 'MISSED'}"
        )
    sys.exit(0 if found["ok"] else 1)


if __name__ == "__main__":
    main()
