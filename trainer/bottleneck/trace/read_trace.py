"""From the files of a profile to an `Explanation`.

Two sources. The step times and the operations come from TensorFlow's own analysis, the one behind
TensorBoard's profile page; the tf.data stages, and what that analysis leaves out, from the events
themselves (`events.py`).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from preprocess.shell.errors import DataError
from preprocess.shell.regular_files import read_regular
from trainer.bottleneck.trace.events import iterators
from trainer.bottleneck.trace.explanation import CPU, Explanation, OperationTime, Split
from trainer.bottleneck.trace.marks import Marks, marked_steps, marks
from trainer.bottleneck.trace.operations import COMPILED
from trainer.compat.profile_tools import input_analysis, operation_rows

SUFFIX = ".xplane.pb"
MAX_BYTES = 2 << 30  # what protobuf parses


def explain(path: str | Path) -> Explanation:
    """Explains an `*.xplane.pb` file, or the newest trace below a directory.

    Of a run of several workers, or a trace with files of several machines, the one that waits
    longest for its input: in synchronous training all others wait for it too.

    Raises:
      DataError: there is no trace, or it is damaged or empty.
    """
    files = trace_files(Path(path))
    if not files:
        raise DataError(
            f"no trace at '{path}': a file *{SUFFIX}, or a directory with one somewhere below"
        )
    explanations = [_explain_file(file) for file in files]
    return max(explanations, key=lambda one: one.split.input if one.split else -1.0)


def explain_run(run_directory: str | Path) -> Explanation | None:
    """Explains the newest trace of a run's first worker, whose figures it adds to; None: no trace.

    Raises:
      DataError: the trace is damaged or empty.
    """
    logs = Path(run_directory) / "tensorboard" / "plugins"
    return explain(logs) if trace_files(logs) else None


def trace_files(path: Path) -> list[Path]:
    """The files of the newest trace at or below a path, one a machine; none: [].

    Where that is of a run of several workers, of the newest one of each.
    """
    if path.is_file():
        return [path]
    files = sorted(path.rglob(f"*{SUFFIX}"), key=lambda file: file.stat().st_mtime_ns)
    # By the worker's folder: files are in the order of their times, so that the last one stays.
    newest = {_logdir(file): file.parent for file in files}
    kept = {newest[logdir] for logdir in newest if _run(logdir) == _run(_logdir(files[-1]))}
    return sorted(file for file in files if file.parent in kept)


def _logdir(file: Path) -> Path:
    """TensorBoard's folder of a trace at LOGDIR/plugins/profile/TIME/; one for all others."""
    place = file.absolute().parents
    return place[3] if (place[2].name, place[1].name) == ("plugins", "profile") else Path()


def _run(logdir: Path) -> Path:
    """What the folders of a run's workers have in common: its own, and worker-N in it."""
    return logdir.parent if re.fullmatch(r"worker-\d+", logdir.name) else logdir


def _explain_file(path: Path) -> Explanation:
    # First: over a file that it cannot parse TensorFlow writes errors of its own.
    planes = _planes(path)
    analysis, steps = input_analysis(str(path))
    times, split = _steps(steps)
    if not times:
        times, split = marked_steps(planes)
    held = marks(planes)
    facts = held.facts if held else {}
    explanation = Explanation(
        host=path.name.removesuffix(SUFFIX),
        hardware=analysis.hardware_type,
        steps=len(times),
        step_ms=sum(times) / len(times) if times else None,
        split=split,
        iterators=iterators(planes),
        operations=_operations(path),
        cores=facts.get("cores"),
        gpus=facts.get("gpus", 0),
        augments=_known(facts, "augments"),
        redecodes=_known(facts, "redecodes"),
        running=held.running if held else None,
        busy=held.busy if held else 0.0,
    )
    return _without_gaps(explanation, held) if held else explanation


def _known(facts: Mapping[str, int], name: str) -> bool | None:
    return bool(facts[name]) if name in facts else None


def _without_gaps(explanation: Explanation, held: Marks) -> Explanation:
    """Of a call on a CPU, what lies between its operations is no computing."""
    split = explanation.split
    if split is None or explanation.hardware != CPU or explanation.gpus:
        return explanation
    # It is the cores that operations wait for between each other, where those are taken. A single
    # core always is, also where it is overhead that takes it.
    if explanation.operations_queue or (explanation.is_processor_full and explanation.cores != 1):
        return explanation
    gaps = max(0.0, split.host_compute - held.computing)
    if held.facts.get("jit"):  # what XLA compiled is no operation of TensorFlow's
        spent = gaps * explanation.steps * (explanation.step_ms or 0.0)
        model = OperationTime(COMPILED, "XLA", False, explanation.steps, spent, 0.0)
        return dataclasses.replace(explanation, operations=(*explanation.operations, model))
    return dataclasses.replace(
        explanation,
        split=dataclasses.replace(split, host_compute=split.host_compute - gaps, between=gaps),
    )


def _planes(path: Path) -> Any:
    from google.protobuf.message import DecodeError
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    try:
        space = xplane_pb2.XSpace.FromString(read_regular(path, MAX_BYTES))
    except (OSError, DecodeError) as error:
        raise DataError(f"the trace '{path}' cannot be read: {error}") from None
    if not any(line.events for plane in space.planes for line in plane.lines):
        raise DataError(f"the trace '{path}' is empty: nothing ran while it was taken")
    return space.planes


def _steps(steps: list[Any]) -> tuple[list[float], Split | None]:
    """(milliseconds of each step, what all of them together went to)."""
    times = [step.step_time_ms for step in steps]
    total = sum(times)
    if not total:
        return [], None

    def share(*fields: str) -> float:
        return sum(getattr(step, field) for step in steps for field in fields) / total

    return times, Split(
        input=share("host_wait_input_ms"),
        transfer=share("host_to_device_ms"),
        output=share("output_ms"),
        kernel_launch=share("host_prepare_ms"),
        compile=share("host_compile_ms"),
        host_compute=share("host_compute_ms"),
        device_compute=share("device_compute_ms", "device_to_device_ms"),
        collectives=share("device_collectives_ms"),
        others=share("unknown_time_ms"),
    )


def _operations(path: Path) -> tuple[OperationTime, ...]:
    rows = [row for row in operation_rows(str(path)) if row.op_type != "Dataset"]
    operations = []
    for place in ("Host", "Device"):
        there = [row for row in rows if row.host_or_device == place]
        total = sum(row.total_self_time_in_us for row in there)
        operations += [
            OperationTime(
                name=row.op_name,
                type=row.op_type,
                on_device=place == "Device",
                calls=row.occurrences,
                self_ms=row.total_self_time_in_us / 1000,
                share=row.total_self_time_in_us / total if total else 0.0,
            )
            for row in there
        ]
    return tuple(sorted(operations, key=lambda op: (not op.on_device, -op.self_ms)))
