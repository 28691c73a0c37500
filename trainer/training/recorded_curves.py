"""The curves that run directories hold."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable

from preprocess.shell.errors import DataError
from trainer.report.run_curves import Curve, curve_of
from trainer.training.run_directory import RunDirectory


def recorded_curves(workdirs: Iterable[str | os.PathLike[str]], metric: str) -> list[Curve]:
    """A column of metrics.jsonl of each run that has one; a file that cannot be read has none."""
    curves = []
    for workdir in workdirs:
        with contextlib.suppress(DataError):
            if curve := curve_of(RunDirectory(os.fspath(workdir)).rows(), metric):
                curves.append(curve)
    return curves
