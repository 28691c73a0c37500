"""Rehearses a rendered run with local processes: what would the cluster do with it?

The pods of the manifest become processes with its environment, its failure policy decides what
follows when one ends, and a rank can be killed at a step. Not rehearsed: scheduling, networks,
images, and delays before a pod is replaced.
"""

from __future__ import annotations

import dataclasses
import json
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from launch.render.objects import objects
from launch.render.pod import hosts
from launch.spec import Spec
from launch.supervisor.cluster_policy import (
    FAIL,
    REPLACE,
    RESTART_ALL,
    SUCCEED,
    Decision,
    JobPolicy,
    JobSetPolicy,
)
from launch.supervisor.kubelet import Process, process, unpack_own_code
from preprocess.shell.errors import UsageError
from preprocess.shell.process import dying_with_parent
from trainer.workers.supervisor.processes import end_all, free_ports
from trainer.workers.supervisor.restart_policy import how_it_ended, shell_code

POLL_SECONDS = 0.05


@dataclasses.dataclass(frozen=True)
class Kill:
    """The rank to be killed, at which step of the run, and how."""

    rank: int
    step: int
    signal: signal.Signals


@dataclasses.dataclass
class Rehearsal:
    """What happened: ends of pods in their order, and the resulting decisions."""

    succeeded: bool = False
    counted: int = 0
    not_counted: int = 0
    events: list[str] = dataclasses.field(default_factory=list)


def parse_kill(text: str) -> Kill:
    """`1@step5` (SIGKILL) or `1@step5:TERM`; raises UsageError."""
    match = re.fullmatch(r"(\d+)@step(\d+)(?::(KILL|TERM))?", text)
    if not match:
        raise UsageError(f"--kill={text} is not RANK@stepSTEP[:KILL|TERM], such as 1@step5")
    name = f"SIG{match[3] or 'KILL'}"
    return Kill(int(match[1]), int(match[2]), signal.Signals[name])


class Stage:
    """Pods of a rendered run, as processes."""

    def __init__(self, spec: Spec, folder: Path, workdir: Path, say: Callable[[str], None]) -> None:
        self._spec, self._folder, self._workdir, self._say = spec, folder, workdir, say
        rendered = objects(spec)
        run = rendered[0]
        is_set = run["kind"] == "JobSet"
        self._policy: Any = JobSetPolicy(run) if is_set else JobPolicy(run)
        job = run["spec"]["replicatedJobs"][0]["template"]["spec"] if is_set else run["spec"]
        self._pod = job["template"]["spec"]
        self._own = folder.absolute() / "own" if spec.own_files else None
        if self._own:
            unpack_own_code(self._pod, rendered, self._own)
        self._names = hosts(spec)
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._attempts: dict[int, int] = {}
        self._started: dict[int, float] = {}  # when each pod's current attempt began
        self._addresses: dict[str, str] = {}
        self.result = Rehearsal()

    def run(self, kills: list[Kill]) -> Rehearsal:
        """Runs until the run succeeds, fails or exceeds its deadline."""
        left = list(kills)
        deadline = time.monotonic() + self._spec.deadline
        self._new_addresses()
        try:
            for rank in range(self._spec.workers):
                self._start(rank)
            while time.monotonic() < deadline:
                left = [kill for kill in left if not self._killed(kill)]
                for rank, code in self._ended():
                    decision = self._policy.ended(rank, code)
                    self._note(rank, code, decision)
                    if decision.action in (SUCCEED, FAIL):
                        self.result.succeeded = decision.action == SUCCEED
                        return self.result
                    if decision.action == REPLACE:
                        self._start(rank)
                    if decision.action == RESTART_ALL:
                        self._restart_all()
                        break
                time.sleep(POLL_SECONDS)
            self._tell("the deadline has passed")
            return self.result
        finally:
            self._end_all()

    def _start(self, rank: int) -> None:
        attempt = self._attempts[rank] = self._attempts.get(rank, -1) + 1
        scratch = self._folder / "scratch"
        what: Process = process(self._pod, rank, self._addresses, scratch, self._own)
        Path(what.environment.get("HOME", self._folder)).mkdir(parents=True, exist_ok=True)
        self._started[rank] = time.time()
        log = self._folder / f"rank-{rank}-attempt-{attempt}.log"
        with open(log, "wb") as output:
            self._processes[rank] = subprocess.Popen(
                what.command,
                env=what.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=dying_with_parent(),
            )
        self._tell(f"pod {rank}, attempt {attempt}: started")

    def _ended(self) -> Iterator[tuple[int, int]]:
        """Pods that have ended; one that was killed from outside comes before those that it took
        down.
        """
        over = [(r, p.returncode) for r, p in self._processes.items() if p.poll() is not None]
        for rank, code in sorted(over, key=lambda item: item[1] >= 0):
            del self._processes[rank]
            yield rank, shell_code(code)

    def _killed(self, kill: Kill) -> bool:
        running = self._processes.get(kill.rank)
        if running is None or (step := self._step(self._started[kill.rank])) < kill.step:
            return False
        running.send_signal(kill.signal)
        self._tell(f"pod {kill.rank}: {kill.signal.name} at step {step}")
        return True

    def _step(self, since: float) -> int:
        """The run's last reported step; -1 if that was before an attempt began."""
        try:
            text = (self._workdir / "progress.json").read_text(encoding="utf-8")
            fields = json.loads(text)
            return int(fields["step"]) if fields["time"] > since else -1
        except (OSError, ValueError, KeyError, TypeError):
            return -1

    def _restart_all(self) -> None:
        self._end_all()
        self._new_addresses()
        for rank in range(self._spec.workers):
            self._start(rank)

    def _end_all(self) -> None:
        end_all(self._processes.values(), self._spec.grace)
        self._processes.clear()

    def _new_addresses(self) -> None:
        ports = free_ports(self._spec.workers)
        self._addresses = {
            name: f"localhost:{port}" for name, port in zip(self._names, ports, strict=True)
        }

    def _note(self, rank: int, code: int, decision: Decision) -> None:
        if decision.action in (REPLACE, RESTART_ALL, FAIL):
            self.result.counted += decision.counted
            self.result.not_counted += not decision.counted and decision.action != FAIL
        words = how_it_ended(code if code <= 128 else 128 - code)
        counted = "counted" if decision.counted else "not counted"
        self._tell(f"pod {rank} {words}: {decision.message}: {decision.action}, {counted}")

    def _tell(self, event: str) -> None:
        self.result.events.append(event)
        self._say(event)
