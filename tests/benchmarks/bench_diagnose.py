"""Whether a bottleneck that was put in on purpose is named, time after time: by `trainer diagnose`,
and by the sentence that a training ends with.

    python -m tests.benchmarks.bench_diagnose [NAME ...] [--way=diagnose] [--times=5] [--json]

For each bottleneck of tests/trainer/bottlenecks.py, in processes of their own: how often it was
named, and where there is a change for it (--apply=1), the speed before and after and how far that
is from what was predicted. `worker` and `worker input`: one of two workers is slow, or reads
slowly. Some forty minutes for all.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.trainer import bottlenecks, datasets
from tests.trainer.bottlenecks import BOTTLENECKS, TRAINING
from trainer.workers.supervisor.processes import free_ports

WORKERS = {"worker": ("slow_step", "collective"), "worker input": ("slow_storage", "storage")}
DIAGNOSE, TRAIN = "diagnose", "train"
ROUNDS, SECONDS = 2, 0.5  # of a phase: less than half of what `diagnose` takes by default
WITHIN = 0.30  # of the prediction, where the cost is known


def diagnosed(name: str, data: str) -> dict[str, Any]:
    """One diagnosis, in this process."""
    from trainer.bottleneck.phases.diagnoser import Diagnoser
    from trainer.bottleneck.sentences import verdict
    from trainer.compat import quiet

    quiet.silence()
    bottleneck = BOTTLENECKS[name]
    bottleneck.inject(pytest.MonkeyPatch())
    config = bottlenecks.configuration(bottleneck)
    replicas = bottleneck.replicas if bottleneck.replicas > 1 else 0
    config = dataclasses.replace(config, virtual_replicas=replicas)
    diagnoser = Diagnoser(config, data, lambda _: None, ROUNDS, SECONDS)
    before = diagnoser.diagnose(config)
    answer: dict[str, Any] = {
        "stage": before.model.binding,
        "said": verdict(before.bottleneck),
        "right": before.model.binding == bottleneck.stage,
    }
    applied = diagnoser.apply(config, before) if bottleneck.fixed else None
    if applied:
        done = applied[1]
        answer |= {
            "change": dict(done.advice.change),
            "before": before.speed,
            "after": done.after.speed,
            "off": done.after.speed / (done.advice.images_per_second or 0) - 1,
        }
    return answer


def trained(name: str, data: str) -> dict[str, Any]:
    """One training, in this process, which takes a trace of itself."""
    from trainer.compat import quiet
    from trainer.train import train

    quiet.silence()
    bottleneck = BOTTLENECKS[name]
    bottleneck.inject(pytest.MonkeyPatch())
    config = bottlenecks.configuration(bottleneck, **TRAINING)
    replicas = bottleneck.replicas if bottleneck.replicas > 1 else 0
    config = dataclasses.replace(config, virtual_replicas=replicas)
    with tempfile.TemporaryDirectory() as folder:
        found = train(config, data, f"{folder}/run", lambda _: None)["bottleneck"]
    right = found["stage"] == bottleneck.stage
    return {"stage": found["stage"], "said": found["verdict"], "right": right}


def in_a_process(way: str, name: str, data: str) -> dict[str, Any]:
    """The same in one of its own."""
    done = subprocess.run(
        [sys.executable, "-m", __spec__.name, name, f"--way={way}", f"--data={data}"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def by_two_workers(way: str, name: str, folder: Path, data: str) -> dict[str, Any]:
    """The second one is slow."""
    cause, stage = WORKERS[name]
    changes = dict(BOTTLENECKS["replica"].changes)
    if stage == "storage":  # so that reading takes long beside what the workers cost each other
        changes["batch_size"] = 16
    if way == TRAIN:  # epochs in which what was read ahead during a validation hardly counts
        changes |= {**TRAINING, "steps_per_epoch": 60}
    config = datasets.write_config(folder / "config.py", datasets.CLASSIFICATION, **changes)
    command = [sys.executable, "-m", "tests.trainer.slowed", cause, "1", way]
    command += [f"--config={config}", f"--data={data}", "--json"]
    if way == DIAGNOSE:
        command += [f"--rounds={ROUNDS}", f"--seconds={SECONDS}"]
    else:
        command += [f"--workdir={tempfile.mkdtemp(dir=folder)}"]
    workers = [f"localhost:{port}" for port in free_ports(2)]
    processes = []
    for rank in range(2):
        task = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": rank}}
        environment = {**os.environ, "TF_CONFIG": json.dumps(task)}
        processes.append(
            subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        )
    outs = [process.communicate() for process in processes]
    if any(process.returncode for process in processes):
        raise SystemExit(outs[0][1] + outs[1][1])
    found = json.loads(outs[0][0])["bottleneck"]
    right = found["stage"] == stage and "of worker 1" in found["verdict"]
    if way == TRAIN:  # which sees the stages of its own input, and of the others' how long it waits
        slow_input = found["kind"] == "input_one_worker" and "worker 1 " in found["verdict"]
        right = slow_input if stage == "storage" else found["stage"] == stage
    return {"stage": found["stage"], "said": found["verdict"], "right": right}


def line(way: str, name: str, rows: list[dict[str, Any]]) -> str:
    """A bottleneck in one line."""
    right = sum(row["right"] for row in rows)
    words = f"{way:8} {name:16} named right {right} of {len(rows)}"
    if right < len(rows):
        words += " (else " + "; ".join(row["said"] for row in rows if not row["right"]) + ")"
    changed = [row for row in rows if "after" in row]
    if changed:
        gains = [row["after"] / row["before"] for row in changed]
        offs = [row["off"] for row in changed]
        changes = " or ".join(sorted({json.dumps(row["change"]) for row in changed}))
        words += (
            f"; advised {len(changed)} times, {changes}: {min(gains):.1f} to {max(gains):.1f} x, "
        )
        words += f"{min(offs):+.0%} to {max(offs):+.0%} off its prediction"
        if name in BOTTLENECKS and BOTTLENECKS[name].known:
            words += f" (bar {WITHIN:.0%}: {'ok' if max(map(abs, offs)) <= WITHIN else 'MISSED'})"
    return words


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else "")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--way", choices=(DIAGNOSE, TRAIN))
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--folder", default="")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--data", default="", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.data:
        once = diagnosed if flags.way == DIAGNOSE else trained
        print(json.dumps(once(flags.names[0], flags.data)))
        return
    report: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(dir=flags.folder or None) as folder:
        made: dict[str, str] = {}
        ways = [flags.way] if flags.way else [TRAIN, DIAGNOSE]
        for way, name in itertools.product(ways, flags.names or [*BOTTLENECKS, *WORKERS]):
            data = BOTTLENECKS[name].data if name in BOTTLENECKS else "classes"
            if data not in made:
                own = Path(folder) / data
                own.mkdir()
                made[data] = bottlenecks.make_data(own, data)
            rows = [
                by_two_workers(way, name, Path(folder), made[data])
                if name in WORKERS
                else in_a_process(way, name, made[data])
                for _ in range(flags.times)
            ]
            report.setdefault(way, {})[name] = rows
            if not flags.json:
                print(line(way, name, rows), flush=True)
    if flags.json:
        print(json.dumps(report))


if __name__ == "__main__":
    main()
