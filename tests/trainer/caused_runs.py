"""Trains with one of RUN_CAUSES by the real command, and follows the advice of its verdict."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.trainer import bottlenecks, datasets
from tests.trainer.control_groups import control_groups
from tests.trainer.run_causes import RUN_CAUSES, RunCause
from trainer.bottleneck.remedies import REMEDIES
from trainer.monitoring.timeline import read_note
from trainer.training.record_log import read_record_log
from trainer.workers.supervisor.processes import free_ports

ATTEMPTS = 12  # more than any cause needs
POLL_SECONDS = 0.02
# What else a verdict may say, by what it begins with.
BESIDE = {"other processes": "Other processes took", "slowed down": "It slowed down", "GPU": "GPU "}
PERIOD = 100_000  # of a CPU quota, in microseconds


@dataclasses.dataclass(frozen=True)
class Life:
    """An attempt by an outside clock: when it was started, and when it was killed or ended; the
    steps that it had done by then, of a run that logs its records.
    """

    started: float
    ended: float
    reached: int


@dataclasses.dataclass(frozen=True)
class CausedRun:
    """What a run with a cause said, and its attempts as they were seen from outside."""

    report: dict[str, Any]
    lives: tuple[Life, ...]

    @property
    def seconds(self) -> float:
        """From the first start to the last end."""
        return self.lives[-1].ended - self.lives[0].started

    @property
    def advice(self) -> str:
        """The first one, or ""."""
        return next(iter(self.report["bottleneck"]["advice"]), "")

    @property
    def gain(self) -> float | None:
        """How many times as fast it says that the run would be."""
        found = re.search(r"([\d.]+) x\b", self.advice)
        return float(found[1]) if found else None


def train(name: str, data: str, folder: Path, changes: Mapping[str, Any] | None = None,
          groups: Mapping[str, Mapping[str, str]] | None = None) -> CausedRun:  # fmt: skip
    """One training, with further changes of its configuration or other control groups."""
    cause = RUN_CAUSES[name]
    folder.mkdir(parents=True)
    base, values = configuration(cause, changes or {})
    config = datasets.write_config(folder / "config.py", base, **values)
    flags = [f"--config={config}", f"--data={data}", f"--workdir={folder / 'run'}"]
    command = [sys.executable, "-m", "tests.trainer.run_causes", name, "train", *flags]
    lives: list[Life] = []
    over = False
    if cause.cold:
        bottlenecks.forget_files(data)
    with control_groups(cause.groups if groups is None else groups) as join:
        while not over:
            at = len(lives)
            assert at < ATTEMPTS, f"{name}: {at} attempts"
            if at:
                time.sleep(cause.pause)
            kill_after = cause.kills[at] if at < len(cause.kills) else 0
            own = [*command, *cause.flags.get(at, ())]
            life, over = _attempt(cause, own, folder, join, kill_after)
            lives.append(life)
    report = json.loads((folder / "run" / "report.json").read_text())
    return CausedRun(report, tuple(lives))


def judged(name: str, run: CausedRun) -> dict[str, Any]:
    """Whether a run's verdict is that of its cause, and gives a remedy of it and the gain."""
    cause, bottleneck = RUN_CAUSES[name], run.report["bottleneck"]
    right = not cause.kind or bottleneck["kind"] in (cause.kind, *cause.or_kinds)
    right &= all(words in bottleneck["verdict"] for words in cause.said)
    right &= not (cause.unsaid and cause.unsaid in bottleneck["verdict"])
    return {
        "kind": bottleneck["kind"],
        "said": bottleneck["verdict"],
        "right": right,
        "beside": [name for name, words in BESIDE.items() if words in bottleneck["verdict"]],
        "advice": run.advice,
        "remedy": is_remedy(name, run.advice),
        "gain": run.gain,
        "seconds": run.seconds,
        "attempts": len(run.lives),
        "time": run.report["time"],
    }


def followed(name: str, run: CausedRun, data: str, folder: Path) -> dict[str, Any]:
    """What following the first advice brought, beside what it predicted; {} = not followed.

    A change of the configuration is tried beside the same run once more, which makes the
    prediction: what else a busy machine does changes within minutes, and the time of each start
    with it.
    """
    cause = RUN_CAUSES[name]
    if not cause.followed or run.gain is None:
        return {}
    if cause.followed == "quota":
        found = re.search(r"to ([\d.]+) cores", run.advice)
        if not found:
            return {}
        quota = {"cpu.cfs_period_us": str(PERIOD)}
        quota["cpu.cfs_quota_us"] = str(round(float(found[1]) * PERIOD))
        after = train(name, data, folder, groups={"cpu": quota})
        got = after.report["images_per_second"] / run.report["images_per_second"]
        predicted = run.gain
    else:
        changes = dict(re.findall(r"--config\.([\w.]+)=([^\s)]+)", run.advice))
        if not changes:
            return {}
        values = {key: int(value) for key, value in changes.items()}
        with ThreadPoolExecutor(2) as pool:
            same = pool.submit(train, name, data, folder / "same")
            after = pool.submit(train, name, data, folder / "then", values).result()
        again = same.result()
        got = again.seconds / after.seconds
        predicted = (again.gain if is_remedy(name, again.advice) else None) or run.gain
    return {
        "got": got,
        "predicted": predicted,
        "off": got / predicted - 1,
        "then": after.report["bottleneck"]["kind"],
        "then_seconds": after.seconds,
        "then_time": after.report["time"],
    }


def is_remedy(name: str, advice: str) -> bool:
    """Whether an advice is one of those for a cause."""
    return any(map(advice.startswith, map(_beginning, RUN_CAUSES[name].remedies)))


def configuration(cause: RunCause, changes: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    """What tests/trainer/datasets.py makes the configuration of a cause of, with changes."""
    base = datasets.TRIPLET if cause.data == "triplets" else datasets.CLASSIFICATION
    replicas = {"virtual_replicas": cause.replicas} if cause.replicas > 1 else {}
    values = {**cause.changes, **replicas, **changes}
    return base, {key.replace(".", "__"): value for key, value in values.items()}


def make_data(folder: Path, name: str) -> str:
    """The dataset of a cause."""
    return bottlenecks.make_data(folder, RUN_CAUSES[name].data)


def _attempt(
    cause: RunCause, command: list[str], folder: Path, join: Callable[[], None], kill_after: int
) -> tuple[Life, bool]:
    """One start of all workers, and whether the run is over."""
    cores = sorted(os.sched_getaffinity(0))[: cause.cores or None]

    def enter() -> None:
        os.sched_setaffinity(0, cores)
        join()

    workers = [f"localhost:{port}" for port in free_ports(cause.workers)]
    began, killed = time.time(), None
    with open(folder / "stderr", "ab") as said:
        processes = []
        for rank in range(cause.workers):
            environment = dict(os.environ)
            if cause.workers > 1:
                task = {"type": "worker", "index": rank}
                environment["TF_CONFIG"] = json.dumps(
                    {"cluster": {"worker": workers}, "task": task}
                )
            processes.append(
                subprocess.Popen(
                    command, env=environment, stdout=said, stderr=said, preexec_fn=enter
                )
            )
        if kill_after:
            timeline = folder / "run" / "timeline" / "worker-0.jsonl"
            killed = _kill(processes[0], timeline, began, kill_after)
        codes = [process.wait() for process in processes]
    if any(code not in (0, -signal.SIGKILL) for code in codes):
        raise AssertionError(f"exit codes {codes}: {(folder / 'stderr').read_text()[-3000:]}")
    records = read_record_log(folder / "run" / "records.jsonl")
    reached = records[-1][0] if records else 0
    return Life(began, killed or time.time(), reached), not any(codes)


def _kill(
    process: subprocess.Popen[bytes], timeline: Path, began: float, after: int
) -> float | None:
    """SIGKILL once an attempt has done so many steps; returns when."""
    first = None
    while process.poll() is None:
        note = read_note(timeline)
        if note and note["at"] > began and "step" in note:
            first = note["step"] if first is None else first
            if note["step"] >= first + after:
                process.kill()
                return time.time()
        time.sleep(POLL_SECONDS)
    return None


def _beginning(remedy: str) -> str:
    """A remedy's text up to the first thing that is filled in."""
    return REMEDIES[remedy].text.partition("{")[0] if remedy in REMEDIES else "\0"
