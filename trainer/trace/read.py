"""From the files of a profile to an `Explanation`.

Two sources. The step times and the operations come from TensorFlow's own analysis, the one behind
TensorBoard's profile page. The tf.data stages come from the events themselves: TensorFlow's
analysis leaves out their `name=` and the datasets inside functions, and loses the link to a stage
whose number needs all 64 bits, which is every second one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from trainer.errors import DataError
from trainer.trace.explanation import Explanation, IteratorTime, OperationTime, Split

SUFFIX = ".xplane.pb"
_PICOSECONDS = 1e9  # a millisecond
_ITERATOR = re.compile(r"^(Iterator|SingleElementIterator)::")
_NUMBER = re.compile(r"\[\d+\]")  # of the element that a FlatMap or Interleave is at
_NO_NAME = re.compile(r"\w+:\d+|fused\(\?(,\?)*\)")  # what tf.data calls a stage without one
_AHEAD = "tf_data_"  # threads that work ahead of the step


def explain(path: str | Path) -> Explanation:
    """Explains an `*.xplane.pb` file, or the newest trace below a directory.

    Of a trace with files of several machines, the one that waits longest for its input: in
    synchronous training all others wait for it too.

    Raises:
      DataError: there is no trace, or it is damaged or empty.
    """
    files = trace_files(Path(path))
    if not files:
        raise DataError(
            f"no trace at '{path}': a file *{SUFFIX}, or a directory with one somewhere below"
        )
    found = [_explain_file(file) for file in files]
    return max(found, key=lambda each: each.split.input if each.split else -1.0)


def explain_run(run_directory: str | Path) -> Explanation | None:
    """Explains the newest trace of a run; None where it has none.

    Raises:
      DataError: the trace is damaged or empty.
    """
    logs = Path(run_directory) / "tensorboard"
    return explain(logs) if trace_files(logs) else None


def trace_files(path: Path) -> list[Path]:
    """The files of the newest trace at or below a path, one a machine; none: []."""
    if path.is_file():
        return [path]
    files = sorted(path.rglob(f"*{SUFFIX}"))
    if not files:
        return []
    newest = max(files, key=lambda file: file.stat().st_mtime_ns).parent
    return [file for file in files if file.parent == newest]


def _explain_file(path: Path) -> Explanation:
    # First: over a file that it cannot parse TensorFlow writes errors of its own.
    planes = _planes(path)
    steps = _input_analysis(path)
    times, split = _steps(steps)
    return Explanation(
        host=path.name.removesuffix(SUFFIX),
        hardware=steps.hardware_type,
        steps=len(times),
        step_ms=sum(times) / len(times) if times else None,
        split=split,
        iterators=_iterators(planes),
        operations=_operations(path),
    )


def _planes(path: Path) -> Any:
    from google.protobuf.message import DecodeError
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    try:
        space = xplane_pb2.XSpace.FromString(path.read_bytes())
    except (OSError, DecodeError) as error:
        raise DataError(f"the trace '{path}' cannot be read: {error}") from None
    if not any(line.events for plane in space.planes for line in plane.lines):
        raise DataError(f"the trace '{path}' is empty: nothing ran while it was taken")
    return space.planes


def _tool(path: Path, tool: str, message: Any) -> Any:
    from tensorflow.python.profiler.internal import _pywrap_profiler

    data, made = _pywrap_profiler.xspace_to_tools_data([str(path)], tool)
    if not made:
        raise DataError(f"the trace '{path}' cannot be read: TensorFlow makes no {tool} of it")
    return message.FromString(data)


def _input_analysis(path: Path) -> Any:
    from tensorboard_plugin_profile.protobuf import input_pipeline_pb2

    result = input_pipeline_pb2.InputPipelineAnalysisResult
    return _tool(path, "input_pipeline_analyzer", result)


def _steps(analysis: Any) -> tuple[list[float], Split | None]:
    """(milliseconds of each step, what all of them together went to)."""
    from tensorboard_plugin_profile.protobuf import input_pipeline_pb2

    steps = []
    for packed in analysis.step_details:
        step = input_pipeline_pb2.PerGenericStepDetails()
        packed.Unpack(step)
        steps.append(step)
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
    from tensorboard_plugin_profile.protobuf import tf_stats_pb2

    table = _tool(path, "tensorflow_stats", tf_stats_pb2.TfStatsDatabase).without_idle
    rows = [row for row in table.tf_stats_record if row.op_type != "Dataset"]
    found = []
    for place in ("Host", "Device"):
        there = [row for row in rows if row.host_or_device == place]
        total = sum(row.total_self_time_in_us for row in there)
        found += [
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
    return tuple(sorted(found, key=lambda op: (not op.on_device, -op.self_ms)))


def _iterators(planes: Iterable[Any]) -> tuple[IteratorTime, ...]:
    """Every stage of tf.data, elements of a FlatMap taken together."""
    calls: dict[tuple[tuple[str, ...], str, bool], list[tuple[int, int]]] = {}
    for plane in planes:
        paths = {
            number: tuple(_NUMBER.sub("", metadata.name).split("::"))
            for number, metadata in plane.event_metadata.items()
            if _ITERATOR.match(metadata.name)
        }
        texts = {number: metadata.name for number, metadata in plane.stat_metadata.items()}
        for line in plane.lines:
            events = [event for event in line.events if event.metadata_id in paths]
            spans = [(event.offset_ps, event.duration_ps) for event in events]
            for event, own in zip(events, own_times(spans), strict=True):
                path = paths[event.metadata_id]
                root = path[-1] == "Root" and not line.name.startswith(_AHEAD)
                key = path, _name(event, texts), root
                calls.setdefault(key, []).append((event.duration_ps, own))
    found = [
        IteratorTime(
            path=path,
            name=name,
            calls=len(each),
            total_ms=sum(duration for duration, _ in each) / _PICOSECONDS,
            self_ms=sum(own for _, own in each) / _PICOSECONDS,
            longest_ms=max(duration for duration, _ in each) / _PICOSECONDS,
            awaited=root,
        )
        for (path, name, root), each in calls.items()
    ]
    return tuple(sorted(found, key=lambda each: -each.self_ms))


def own_times(spans: Sequence[tuple[int, int]]) -> list[int]:
    """Duration of each (start, duration) of a thread, without those that lie inside of it."""
    own = [duration for _, duration in spans]
    open_spans: list[int] = []
    for at in sorted(range(len(spans)), key=lambda at: (spans[at][0], -spans[at][1])):
        start, duration = spans[at]
        while open_spans and sum(spans[open_spans[-1]]) <= start:
            open_spans.pop()
        if open_spans:
            own[open_spans[-1]] -= duration
        open_spans.append(at)
    return own


def _name(event: Any, texts: dict[int, str]) -> str:
    """The `name=` that a stage was given; "" where it has none."""
    for stat in event.stats:
        if texts[stat.metadata_id] == "name":
            name = texts[stat.ref_value] if stat.ref_value else stat.str_value
            return "" if _NO_NAME.fullmatch(name) else str(name)
    return ""
