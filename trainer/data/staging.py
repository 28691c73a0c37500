"""`--stage_to`: copies a dataset from object storage to a local disk before it is read.

`python -m preprocess fetch` does the copying, as a subprocess: it resumes where it stopped and
checks every hash. This file makes sure that only one process of each machine runs it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from preprocess.dataset_format import MANIFEST_FILE
from preprocess.shell import file_lock
from preprocess.shell.atomic import write_text
from preprocess.shell.errors import RestartError, UsageError, UserError
from preprocess.shell.exit_codes import ExitCode
from preprocess.shell.json_text import JsonObject

# Exit codes of `fetch` if the storage does not respond.
UNREACHABLE = (ExitCode.STORAGE, ExitCode.SAVED)
WAIT_SECONDS = 0.5  # between two checks whether another process is done
FETCH = (sys.executable, "-m", "preprocess", "fetch")


class StagingError(UserError):
    """A copy that failed; ends with the exit code of the command that made it."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def staged_sets(datasets: Sequence[str], directory: str, say: Callable[[str], None]) -> list[str]:
    """staged() of each of several datasets; those after the first have a folder of their own next
    to it, DIRECTORY-2, DIRECTORY-3, ...
    """
    folders = [
        f"{directory.rstrip('/')}-{number}" if directory and number > 1 else directory
        for number in range(1, len(datasets) + 1)
    ]
    return [staged(*pair, say) for pair in zip(datasets, folders, strict=True)]


def staged(
    dataset: str, directory: str, say: Callable[[str], None], fetch: Sequence[str] = FETCH
) -> str:
    """The directory to read a dataset from: a checked copy in `directory`, or the dataset itself if
    `directory` is ''.

    Processes of a machine that call this at the same time wait for the first one and share its
    copy.

    Raises:
      UsageError: the dataset is not at an address, or the directory cannot be created.
      StagingError: the copy failed; with the exit code of `preprocess fetch`.
    """
    if not directory:
        return dataset
    if "://" not in dataset:
        raise UsageError(f"--stage_to copies from gs://..., but '{dataset}' is on a local disk")
    came = time.time()
    target = Path(os.path.abspath(directory))
    mark = target.with_name(f"{target.name}.staged")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = open(target.with_name(f"{target.name}.lock"), "w")  # noqa: SIM115
    except OSError as error:
        raise UsageError(f"--stage_to='{directory}': {error.strerror}") from None
    with lock, _only_process(target, lock, say):
        record = _copy_of(mark, dataset, target)
        if record and record["time"] >= came:
            say(f"'{dataset}' was copied to '{target}' by another process of this machine")
            return str(target)
        say(f"copying '{dataset}' to '{target}'")
        done = _run([*fetch, dataset, str(target), "--json"])
        if done.returncode in UNREACHABLE and record:
            say(f"warning: '{dataset}' cannot be reached; using the checked copy made before")
            return str(target)
        if done.returncode:
            raise StagingError(
                f"--stage_to='{directory}': copying '{dataset}' failed (see above); files copied "
                "so far are kept, and the same command resumes",
                done.returncode,
            )
        copied = json.loads(done.stdout)
        say(f"copied {copied['bytes_copied']:,} of {copied['bytes']:,} bytes, all checked")
        content = {"source": dataset, "manifest": _manifest_hash(target), "time": time.time()}
        write_text(mark, json.dumps(content))
    return str(target)


@contextlib.contextmanager
def _only_process(target: Path, lock: IO[str], say: Callable[[str], None]) -> Iterator[None]:
    """Waits until no other process of this machine fills the target."""
    with contextlib.ExitStack() as stack:
        waiting = False
        while True:
            try:
                stack.enter_context(file_lock.held(lock.fileno(), lock.name))
                break
            except file_lock.HeldError as error:
                if not waiting:
                    say(f"another process is filling '{target}'; waiting for it ({error})")
                waiting = True
                time.sleep(WAIT_SECONDS)
        yield


def _copy_of(mark: Path, dataset: str, target: Path) -> JsonObject | None:
    """The marker of a complete copy of this dataset in the target, if there is one."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        record: JsonObject = json.loads(mark.read_text(encoding="utf-8"))
        if (record["source"], record["manifest"]) == (dataset, _manifest_hash(target)):
            return record
    return None


def _manifest_hash(target: Path) -> str:
    return hashlib.sha256((target / MANIFEST_FILE).read_bytes()).hexdigest()


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Runs a command with its messages on our stderr; SIGTERM stops it, then us, with 75."""
    root = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths}
    )
    try:
        with _passing_on_sigterm(process):
            stdout, _ = process.communicate()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    return subprocess.CompletedProcess(command, process.returncode, stdout, "")


@contextlib.contextmanager
def _passing_on_sigterm(process: subprocess.Popen[str]) -> Iterator[None]:
    def on_signal(number: int, frame: object) -> None:
        del number, frame
        process.terminate()
        process.wait()
        raise RestartError("SIGTERM while copying the dataset; the same command resumes")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, on_signal)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
