"""TensorFlow's own analysis of a trace, the one behind TensorBoard's profile page.

On the default stack the messages are those of tensorboard-plugin-profile; after it the plugin is
called xprof, the analysis has a module of its own, and the table of operations comes as JSON for
a chart in place of a message. The older half can go with the default stack.
"""

from __future__ import annotations

import dataclasses
import json
from importlib.util import find_spec
from typing import Any

from preprocess.shell.errors import DataError

INPUT_PIPELINE = "input_pipeline_analyzer"


@dataclasses.dataclass(frozen=True)
class OperationRow:
    """An operation over a whole trace; host_or_device is "Host" or "Device"."""

    op_name: str
    op_type: str
    host_or_device: str
    occurrences: int
    total_self_time_in_us: float


def input_analysis(trace: str) -> tuple[Any, list[Any]]:
    """(InputPipelineAnalysisResult, a PerGenericStepDetails for each step) of an xplane file.

    Raises:
      DataError: TensorFlow makes none of it.
    """
    if find_spec("xprof"):
        from xprof.protobuf import input_pipeline_pb2
    else:
        from tensorboard_plugin_profile.protobuf import input_pipeline_pb2
    data = _tool(trace, INPUT_PIPELINE)
    result = input_pipeline_pb2.InputPipelineAnalysisResult.FromString(data)
    steps = []
    for packed in result.step_details:
        step = input_pipeline_pb2.PerGenericStepDetails()
        packed.Unpack(step)
        steps.append(step)
    return result, steps


def operation_rows(trace: str) -> list[OperationRow]:
    """The operations of an xplane file, without idle time.

    Raises:
      DataError: TensorFlow makes no table of it.
    """
    if find_spec("xprof"):
        _, without_idle = json.loads(_tool(trace, "framework_op_stats"))
        names = [column["id"] for column in without_idle["cols"]]
        table = [
            dict(zip(names, (cell.get("v") for cell in row["c"]), strict=True))
            for row in without_idle["rows"]
        ]
        return [
            OperationRow(
                row["operation"],
                row["type"],
                row["host_or_device"],
                int(row["occurrences"]),
                row["total_self_time"],
            )
            for row in table
        ]
    from tensorboard_plugin_profile.protobuf import tf_stats_pb2

    stats = tf_stats_pb2.TfStatsDatabase.FromString(_tool(trace, "tensorflow_stats"))
    return [
        OperationRow(
            row.op_name,
            row.op_type,
            row.host_or_device,
            row.occurrences,
            row.total_self_time_in_us,
        )
        for row in stats.without_idle.tf_stats_record
    ]


def _tool(trace: str, tool: str) -> bytes:
    if find_spec("xprof"):
        from tensorflow.python.profiler.internal import _pywrap_profiler_plugin

        data, made = _pywrap_profiler_plugin.xspace_to_tools_data([trace], tool, {})
    else:
        from tensorflow.python.profiler.internal import _pywrap_profiler

        data, made = _pywrap_profiler.xspace_to_tools_data([trace], tool)
    if not made:
        raise DataError(f"the trace '{trace}' cannot be read: TensorFlow makes no {tool} of it")
    return data
