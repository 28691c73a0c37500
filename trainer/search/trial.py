"""One run as a process of `trainer train`, and what came of it."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trainer.config.keys import get
from trainer.errors import RestartError, UserError
from trainer.run_directory import RunDirectory
from trainer.search.run import Run
from trainer.search.space import flag_text

POLL_SECONDS = 0.5
FAULTS = 2  # a run that ends otherwise than it should is started again so often
# Whatever another try does not mend.
_USER_ERRORS = {
    error.exit_code: error for error in UserError.__subclasses__() if error is not RestartError
}
_WEIGHTS = ("checkpoints", "model")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a run: a value, or the reason why there is none."""

    value: float | None = None
    interval: list[float] | None = None
    seconds: float = 0.0
    reason: str = ""
    diverged: bool = False
    refused: type[UserError] | None = None  # what the exit code stands for, such as 78


class Stopped(Exception):
    """The search was asked to stop; the run is saved, or was taken over."""


def train_flags(run: Run, config: Any, config_file: Path, data: str, workdir: Path) -> list[str]:
    """The command line of `trainer train` for a run: every searched key, and its seed."""
    values = {**run.params, "seed": get(config, "seed") + run.repeat}
    changes = [f"--config.{key}={flag_text(value)}" for key, value in values.items()]
    return ["train", f"--config={config_file}", f"--data={data}", f"--workdir={workdir}", *changes]


def train_run(
    flags: list[str], workdir: Path, log: Path, metric: str, beat: Callable[[], str]
) -> Outcome:
    """Trains a run to its end, going on from whatever an earlier life of it left.

    Args:
      flags: of `trainer train`.
      workdir: its run directory.
      log: what it says is added here.
      metric: the column of metrics.jsonl that counts, of the last epoch.
      beat: called twice a second; "" = go on, "save" = save and stop, "kill" = stop.

    Raises:
      Stopped: `beat` said so.
    """
    faults = 0
    while True:
        # report.json is written last: what has one needs no process.
        code = 0 if RunDirectory(str(workdir)).report_file.is_file() else _wait(flags, log, beat)
        if code == os.EX_OK:
            return _result(workdir, metric)
        words = _last_line(log)
        if code == os.EX_SOFTWARE:
            return Outcome(reason=f"diverged: {words}", diverged=True)
        if code in _USER_ERRORS:
            return Outcome(reason=words, refused=_USER_ERRORS[code])
        faults += 1
        if faults > FAULTS:
            return Outcome(reason=f"ended with {code}, {faults} times: {words}")


def drop_weights(workdir: Path) -> None:
    """Takes the weights of a finished run away; curves, report and configuration stay."""
    for name in _WEIGHTS:
        shutil.rmtree(workdir / name, ignore_errors=True)


def _wait(flags: list[str], log: Path, beat: Callable[[], str]) -> int:
    """The exit code of a process; raises Stopped once it is gone where `beat` asked for that."""
    command = [sys.executable, "-m", "trainer.search.leash", str(os.getpid()), *flags]
    # A search is shared by its folder, whatever cluster the environment speaks of: each run is
    # this machine's alone.
    environment = {name: each for name, each in os.environ.items() if name != "TF_CONFIG"}
    with open(log, "ab") as file:
        # A session of its own: Ctrl-C reaches the search alone, which has it save first.
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=file, env=environment, start_new_session=True
        )
        asked = ""
        try:
            while True:
                try:
                    code = process.wait(POLL_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    wanted = beat()
                    if wanted and wanted != asked:
                        asked = wanted
                        process.send_signal(signal.SIGTERM if wanted == "save" else signal.SIGKILL)
        except BaseException:
            process.kill()
            process.wait()
            raise
    if asked:
        raise Stopped
    return code


def _result(workdir: Path, metric: str) -> Outcome:
    directory = RunDirectory(str(workdir))
    report = json.loads(directory.report_file.read_text(encoding="utf-8"))
    row = report["metrics"]["last"]
    value = row.get(metric)
    if value is None:
        return Outcome(reason=f"no record counts for {metric}")
    return Outcome(float(value), row.get(f"{metric}_interval"), float(report["seconds"]))


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1].strip().removeprefix("trainer train: ") if lines else "it said nothing"
