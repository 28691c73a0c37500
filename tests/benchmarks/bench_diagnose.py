"""Whether a bottleneck that was put in on purpose is named, time after time: by `trainer diagnose`,
and by the sentence that a training ends with.

    python -m tests.benchmarks.bench_diagnose [NAME ...] [--way=diagnose] [--times=5] [--load=0]
                                             [--at_once=1]

For each bottleneck of tests/trainer/bottlenecks.py, in processes of their own: how often it was
named, and where there is a change for it (--apply=1), the speed before and after and how far that
is from what was predicted. `worker` and `worker input`: one of two workers is slow, or reads
slowly. Some forty minutes for all.

--way=run: what holds up a whole run outside of its steps, of tests/trainer/run_causes.py: how often
it was named first, with a remedy and its gain, and for saves, validation and a CPU quota what
following the advice brought (--follow times). A CPU quota and a memory limit need root, and control
groups of version 1; they are left out elsewhere. Some twelve minutes for each time; --at_once=N has
N runs beside each other, most of which sleep. The load is the mean number of processes that ran or
wanted to, by the system's own average over a minute.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.foreign_load import foreign_load
from tests.trainer import bottlenecks, caused_runs, datasets
from tests.trainer.bottlenecks import BOTTLENECKS, TRAINING
from tests.trainer.control_groups import can_limit
from tests.trainer.run_causes import RUN_CAUSES
from trainer.workers.supervisor.processes import free_ports

WORKERS = {"worker": ("slow_step", "collective"), "worker input": ("slow_storage", "storage")}
DIAGNOSE, TRAIN, RUN = "diagnose", "train", "run"
ROUNDS, SECONDS = 2, 0.5  # of a phase: less than half of what `diagnose` takes by default
WITHIN = 0.30  # of the prediction, where the cost is known
RUN_WITHIN = 0.15  # of the prediction for a whole run


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


def whole_run(name: str, data: str, folder: Path, follow: bool) -> dict[str, Any]:
    """A run with a cause outside of its steps, and once another that follows its advice."""
    with tempfile.TemporaryDirectory(dir=folder) as own:
        run = caused_runs.train(name, data, Path(own) / "run")
        row = caused_runs.judged(name, run) | {"load": os.getloadavg()[0]}
        return row | (caused_runs.followed(name, run, data, Path(own) / "then") if follow else {})


def run_line(name: str, rows: list[dict[str, Any]]) -> str:
    """A cause of a whole run in one line."""
    right = sum(row["right"] for row in rows)
    stated = sum(row["remedy"] for row in rows)
    words = f"{RUN:8} {name:24} {rows[0]['kind']:14} first {right} of {len(rows)}"
    if RUN_CAUSES[name].remedies:
        words += f", its remedy {stated} of {len(rows)}"
    gains = [row["gain"] for row in rows if row["gain"] is not None]
    if gains:
        words += f", gain {min(gains):.1f} to {max(gains):.1f} x"
    beside = Counter(name for row in rows for name in row["beside"])
    if beside:
        words += "; besides " + ", ".join(f"{name} {count}" for name, count in beside.items())
    words += "".join(f"\n  else: {row['said']}" for row in rows if not row["right"])
    for row in (row for row in rows if "got" in row):
        verdict = "ok" if abs(row["off"]) <= RUN_WITHIN else "MISSED"
        words += f"; followed: {row['got']:.2f} x, {row['off']:+.0%} off (bar {RUN_WITHIN:.0%}: "
        words += f"{verdict})"
    loads = [row["load"] for row in rows]
    return words + f"; load {min(loads):.1f} to {max(loads):.1f}"


def runs_here() -> list[str]:
    """The causes that can be put in on this machine."""
    return [name for name, cause in RUN_CAUSES.items() if all(map(can_limit, cause.groups))]


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


def once_more(way: str, name: str, folder: Path, data: str, follow: bool) -> dict[str, Any]:
    """One row of a bottleneck."""
    if way == RUN:
        return whole_run(name, data, folder, follow=follow)
    if name in WORKERS:
        return by_two_workers(way, name, folder, data)
    return in_a_process(way, name, data)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else "")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--way", choices=(DIAGNOSE, TRAIN, RUN))
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--load", type=float, default=0.0, help="of the processor, by others")
    parser.add_argument("--at_once", type=int, default=1, help="runs of --way=run")
    parser.add_argument(
        "--follow", type=int, default=1, help="of the times, the advice is followed"
    )
    parser.add_argument("--folder", default="")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--data", default="", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.data:
        once = diagnosed if flags.way == DIAGNOSE else trained
        print(json.dumps(once(flags.names[0], flags.data)))
        return
    report: dict[str, dict[str, Any]] = {}
    steps = [*BOTTLENECKS, *WORKERS]
    names = {TRAIN: steps, DIAGNOSE: steps, RUN: runs_here()}
    with (
        tempfile.TemporaryDirectory(dir=flags.folder or None) as folder,
        foreign_load(flags.load),
        contextlib.ExitStack() as stack,
    ):
        made: dict[str, str] = {}
        pool = stack.enter_context(ThreadPoolExecutor(flags.at_once))
        begun: list[tuple[str, str, list[Future[dict[str, Any]]]]] = []
        ways = [flags.way] if flags.way else list(names)
        wanted = [(way, name) for way in ways for name in names[way]]
        for way, name in wanted:
            if flags.names and name not in flags.names:
                continue
            cause = BOTTLENECKS.get(name) or RUN_CAUSES.get(name)
            data = cause.data if cause else "classes"
            if data not in made:
                own = Path(folder) / data
                own.mkdir()
                made[data] = bottlenecks.make_data(own, data)
            rows = [
                pool.submit(once_more, way, name, Path(folder), made[data], time < flags.follow)
                for time in range(flags.times)
            ]
            begun.append((way, name, rows))
        for way, name, rows in begun:
            done = report.setdefault(way, {})[name] = [row.result() for row in rows]
            if not flags.json:
                print(run_line(name, done) if way == RUN else line(way, name, done), flush=True)
    if flags.json:
        print(json.dumps(report))


if __name__ == "__main__":
    main()
