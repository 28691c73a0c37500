"""The shortest possible training (`python -m launch.smoke TRAINER FLAGS`), to test the whole chain.

One step, one validation, one saved state; then the same command again, which restores it and takes
one more step. Uses its own run directory, RUN-smoke.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from preprocess.shell.process import dying_with_parent

SHORT = (
    "--config.steps_per_epoch=1",
    "--config.validation_steps=1",
    "--config.checkpoint.every_steps=1",
    "--config.profile.steps=",
)


def smoke_run(run: str) -> str:
    """The run directory of the short training of a run."""
    return f"{run.rstrip('/')}-smoke"


def commands(arguments: Sequence[str]) -> list[list[str]]:
    """Flags of the two trainings, one epoch long and then two."""
    beside = [smoke_run(word) if word.startswith("--workdir=") else word for word in arguments]
    return [[*beside, *SHORT, f"--config.epochs={epochs}"] for epochs in (1, 2)]


def main() -> None:
    """Runs both; returns the exit code of the first that fails."""
    for flags in commands(sys.argv[1:]):
        code = subprocess.run(
            [sys.executable, "-m", "trainer", "train", *flags],
            check=False,
            preexec_fn=dying_with_parent(),
        )
        if code.returncode:
            sys.exit(code.returncode)


if __name__ == "__main__":
    main()
