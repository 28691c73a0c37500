r"""Keeps the follower of a training running (`launch train --augment_workers=N`).

    python -m launch.supervisor.follower_process [--attempts=FOLDER] [--rank=R] -- COMMAND

It starts the follower again whenever it has ended, however it has: one that a training has left
behind by failing is needed by the next attempt. In a container, without --attempts, the kubelet
does so after an end that would only repeat itself (64, 65, 70, 78). SIGTERM ends both. Nothing
that happens here counts as a failure of the training, which waits for its variants meanwhile.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO

from launch.render.follower import FOLLOWED_RANK
from launch.supervisor.attempts import Attempts, RankStatus
from preprocess.shell.cli import say
from preprocess.shell.exit_codes import FINAL, ExitCode
from preprocess.shell.process import dying_with_parent
from preprocess.shell.stop_flag import StopFlag
from trainer.workers.supervisor.processes import Patience, end_all, wait_for_all
from trainer.workers.supervisor.restart_policy import how_it_ended

GRACE_SECONDS = 10.0  # from SIGTERM to SIGKILL; it saves nothing
# Between an end and the next start: doubled after each that has lived for less than the longest.
SHORTEST_PAUSE, LONGEST_PAUSE = 2.0, 60.0
POLL_SECONDS = 0.05
MARGIN_SECONDS = 5.0  # beyond its grace, for the keeper to end


@contextlib.contextmanager
def with_follower(
    command: Sequence[str], directory: str, environment: Mapping[str, str]
) -> Iterator[Callable[[], None]]:
    """A follower that lives as long as the block, or as this process, and no longer.

    Yields what starts its keeper again where that is dead, such as one killed for memory.

    Args:
      command: of keeper(); empty = none.
      directory: where the run was started.
      environment: of the follower.
    """
    keepers: list[subprocess.Popen[bytes]] = []

    def keep() -> None:
        if not command or (keepers and keepers[-1].poll() is None):
            return
        try:
            keepers.append(
                subprocess.Popen(
                    command,
                    cwd=directory,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                    preexec_fn=dying_with_parent(),
                )
            )
        except OSError as error:
            say(f"the follower could not be started: {error}")

    keep()
    try:
        yield keep
    finally:
        # Where the keeper is killed, the kernel kills the follower.
        end_all(keepers, GRACE_SECONDS + MARGIN_SECONDS)


def keep_following(command: Sequence[str], attempts: Attempts | None, stop: StopFlag) -> int:
    """Returns the exit code of the keeper: 0 when a signal has ended the follower.

    Without attempts it is the follower's where starting it again cannot help: the kubelet then
    restarts the container, less and less often, and shows how it ended.

    Args:
      command: of the follower.
      attempts: whose folder takes its output and how it ended; None = the output is this process's.
      stop: of this process.
    """
    pause, event = SHORTEST_PAUSE, ""
    while not stop.received:
        began = time.monotonic()
        if event and attempts:
            # Not when it ended: its own last line is what status shows until then.
            _log(attempts, f"the follower {event}; starting it again")
        code = None
        try:
            code = _run(command, attempts, stop)
            event = "is done with the run" if code == ExitCode.DONE else how_it_ended(code)
        except OSError as error:  # a full disk, a stale mount, no process left: it may pass
            event = f"could not be started: {error}"
        if stop.received:
            break
        if attempts is None and code in FINAL:
            _tell(f"the follower {event}")
            return code
        lived = time.monotonic() - began
        pause = SHORTEST_PAUSE if lived >= LONGEST_PAUSE else pause
        _tell(f"the follower {event}; it starts again in {pause:.0f} s")
        until = time.monotonic() + pause
        while not stop.received and time.monotonic() < until:
            time.sleep(POLL_SECONDS)
        pause = min(2 * pause, LONGEST_PAUSE)
    return ExitCode.DONE


def _log(attempts: Attempts, message: str) -> None:
    with contextlib.suppress(OSError), open(attempts.follower_log, "a", encoding="utf-8") as log:
        log.write(f"{message}\n")


def _tell(message: str) -> None:
    with contextlib.suppress(OSError):  # the disk of the log may be the one that is full
        say(message)


def _run(command: Sequence[str], attempts: Attempts | None, stop: StopFlag) -> int:
    """One life of the follower; its exit code. Raises OSError where it cannot be started."""
    started = time.time()
    with contextlib.ExitStack() as stack:
        output: IO[bytes] | None = None
        if attempts:
            attempts.folder.mkdir(parents=True, exist_ok=True)
            output = stack.enter_context(open(attempts.follower_log, "ab"))
        process = subprocess.Popen(
            list(command),
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=dying_with_parent(),
        )
    now = RankStatus(FOLLOWED_RANK, process.pid, started, None, None, socket.gethostname())
    _record(attempts, now)
    wait_for_all([process], stop, Patience(GRACE_SECONDS, GRACE_SECONDS, GRACE_SECONDS))
    _record(attempts, dataclasses.replace(now, ended=time.time(), exit_code=process.returncode))
    return process.returncode


def _record(attempts: Attempts | None, status: RankStatus) -> None:
    with contextlib.suppress(OSError):  # a follower is worth more than its record
        if attempts:
            attempts.write_follower(status)


def main() -> None:
    """Keeps a follower until SIGTERM; next to another worker than the first, only waits for it."""
    parser = argparse.ArgumentParser(prog="python -m launch.supervisor.follower_process")
    parser.add_argument("--attempts", default="")
    parser.add_argument("--rank", type=int, default=FOLLOWED_RANK)
    parser.add_argument("command", nargs="+")
    given = parser.parse_args()
    with StopFlag() as stop:
        if given.rank == FOLLOWED_RANK:
            attempts = Attempts(given.attempts) if given.attempts else None
            sys.exit(keep_following(given.command, attempts, stop))
        say(f"worker {given.rank} has no follower: that of worker {FOLLOWED_RANK} is for all")
        while not stop.received:
            time.sleep(1.0)
    sys.exit(0)


if __name__ == "__main__":
    main()
