"""The driver: each target in a process of its own, one after the other.

    python -m tests.fuzz [--minutes=20] [--target=NAME ...] [--seed=0]

Prints a line a target and ends with 1 where one has failed; the case that did is printed, as small
as it could be made, and stays in FOLDER/NAME.txt where the process did not survive it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.cases import run_for
from tests.fuzz.targets import TARGETS


def main() -> int:
    """Runs all targets, or in a process of its own the one that is named."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--minutes", type=float, default=20.0, help="of each target")
    parser.add_argument("--target", action="append", choices=list(TARGETS))
    parser.add_argument("--seed", type=int, default=None, help="by default the time")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--folder", default="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    seed = int(time.time()) if given.seed is None else given.seed
    if given.one:
        cost = run_for(given.one, Path(given.folder), given.minutes * 60, seed)
        how = f"{given.minutes:g} minutes, {cost}, seed {seed}"
        print(f"{given.one}: {how}: all taken or refused in a line", flush=True)
        return 0
    folder = tempfile.mkdtemp(prefix="fuzz-")
    failed = []
    for name in given.target or TARGETS:
        command = [
            sys.executable,
            "-m",
            "tests.fuzz",
            f"--one={name}",
            f"--minutes={given.minutes}",
        ]
        os.makedirs(f"{folder}/{name}")
        state = {**os.environ, "SHARDLINE_STATE": f"{folder}/state"}
        command += [f"--folder={folder}/{name}", f"--seed={seed}"]
        if subprocess.run(command, env=state, check=False).returncode:
            print(f"{name}: FAILED, seed {seed}; the last case is in {folder}/{name}/case.txt")
            failed.append(name)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
