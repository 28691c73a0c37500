"""RUN/records.jsonl: which records each step trained on, for `data.log_records`.

    {"step": 12, "records": [4, 31, 7, ...]}

Steps count from 1; records are numbers in the split's stored order, without padding. A restart
removes the steps after the state from which it resumes: they are trained, and logged, again.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from preprocess.shell.atomic import write_text
from preprocess.shell.errors import DataError
from preprocess.shell.regular_files import read_regular

MAX_BYTES = 4 << 30  # 500 million records


class RecordLog:
    """Writes the log of one process; a line is flushed to the file before the next step."""

    def __init__(self, path: Path, step: int) -> None:
        """Resumes after `step`, that of the restored state."""
        kept = [line for line in read_record_log(path) if line[0] <= step]
        write_text(path, "".join(_line(*line) for line in kept))
        self._path = path

    def write(self, step: int, records: NDArray[np.int64]) -> None:
        """Adds the steps after `step`; records int64[steps, rows], -1 = padding."""
        lines = [
            _line(step + 1 + i, [record for record in row if record >= 0])
            for i, row in enumerate(records.tolist())
        ]
        with open(self._path, "a", encoding="utf-8") as file:
            file.write("".join(lines))


def read_record_log(path: Path) -> list[tuple[int, list[int]]]:
    """(step, records) of each line; stops at a line that a kill has truncated.

    Raises:
      DataError: it cannot be read.
    """
    lines: list[tuple[int, list[int]]] = []
    try:
        text = read_regular(path, MAX_BYTES).decode("utf-8", "replace")
    except FileNotFoundError:
        return lines
    except OSError as error:
        raise DataError(f"'{path}' cannot be read: {error.strerror}") from None
    for each in text.splitlines():
        try:
            line = json.loads(each)
        except (ValueError, RecursionError):
            break
        match line:
            case {"step": int(step), "records": [*records]} if {*map(type, records)} <= {int}:
                lines.append((step, records))
            case _:
                raise DataError(f"'{path}' has a line that is not the record of a step")
    return lines


def _line(step: int, records: list[int]) -> str:
    return json.dumps({"step": step, "records": records}) + "\n"
