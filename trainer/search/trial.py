"""One run as a process of `trainer train`, and what came of it."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from preprocess.shell.errors import DataError, UserError
from preprocess.shell.exit_codes import UNCOUNTED, ExitCode
from preprocess.shell.process import dying_with_parent
from preprocess.shell.regular_files import append_regular, read_json
from trainer.search.search_run import Run
from trainer.search.space import flag_text
from trainer.training.run_directory import RunDirectory
from trainer.workers.supervisor.restart_policy import FAIL, RETRY, decide, how_it_ended

POLL_SECONDS = 0.5
MAX_RESTARTS = 2  # counted ones of a run, as the restart policy counts them
# What a run's exit code stands for.
_USER_ERRORS: dict[int, type[UserError]] = {
    error.exit_code: error
    for error in UserError.__subclasses__()
    if error.exit_code not in UNCOUNTED
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


def train_flags(run: Run, seed: int, config_file: Path, data: str, workdir: Path) -> list[str]:
    """The command line of `trainer train` for a run: every searched key, and its seed."""
    values = {**run.params, "seed": seed + run.repeat}
    changes = [f"--config.{key}={flag_text(value)}" for key, value in values.items()]
    return ["train", f"--config={config_file}", f"--data={data}", f"--workdir={workdir}", *changes]


def train_run(
    flags: list[str], workdir: Path, log: Path, metric: str, beat: Callable[[], str]
) -> Outcome:
    """Trains a run to its end, resuming from what an earlier attempt left.

    Args:
      flags: of `trainer train`.
      workdir: its run directory.
      log: what it says is added here.
      metric: the column of metrics.jsonl that counts, of the last epoch.
      beat: called twice a second; "" = continue, "save" = save and stop, "kill" = stop.

    Raises:
      Stopped: `beat` asked for it.
    """
    counted = 0
    while True:
        # report.json is written last: what has one needs no process.
        code = 0 if RunDirectory(str(workdir)).report_file.is_file() else _wait(flags, log, beat)
        if code == ExitCode.DONE:
            return _result(workdir, metric)
        words = _last_line(log)
        if code == ExitCode.DIVERGED:
            return Outcome(reason=f"diverged: {words}", diverged=True)
        decision = decide({0: code}, counted, MAX_RESTARTS)
        if decision.action == FAIL:
            if code in _USER_ERRORS:
                return Outcome(reason=words, refused=_USER_ERRORS[code])
            return Outcome(reason=f"{how_it_ended(code)}, {counted + 1} times: {words}")
        counted += decision.action == RETRY


def drop_weights(workdir: Path) -> None:
    """Takes the weights of a finished run away; curves, report and configuration stay."""
    for name in _WEIGHTS:
        shutil.rmtree(workdir / name, ignore_errors=True)


def _wait(flags: list[str], log: Path, beat: Callable[[], str]) -> int:
    """The exit code of a process; raises Stopped once it is gone where `beat` asked for that."""
    command = [sys.executable, "-m", "trainer", *flags]
    # A search is shared by its folder, whatever cluster the environment speaks of: each run is
    # this machine's alone.
    environment = {name: each for name, each in os.environ.items() if name != "TF_CONFIG"}
    with append_regular(log) as file:
        # A session of its own: Ctrl-C reaches the search alone, which has it save first.
        process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=file,
            env=environment,
            start_new_session=True,
            # A search that is killed must not leave a run behind that writes into a folder in
            # which the next process is about to continue.
            preexec_fn=dying_with_parent(),
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
    file = RunDirectory(str(workdir)).report_file
    match read_json(file, follow=False):
        case {"metrics": {"last": dict(row)}, "seconds": int() | float() as seconds}:
            value, interval = row.get(metric), row.get(f"{metric}_interval")
        case _:
            raise DataError(f"'{file}' is no report of a training")
    if value is None:
        return Outcome(reason=f"no record counts for {metric}")
    if not all(isinstance(each, (int, float)) for each in (value, *(interval or ()))):
        raise DataError(f"'{file}': its {metric} is no number")
    return Outcome(float(value), interval, float(seconds))


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1].strip().removeprefix("trainer train: ") if lines else "it said nothing"
