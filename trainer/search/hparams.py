"""The search in TensorBoard: the HParams page, and the curves of every run, below DIR/tensorboard.

Event files are written record by record from the protocol buffers that TensorBoard ships: its
own writer, and `tf.summary`, would import TensorFlow, which takes a GPU's memory for itself.
"""

from __future__ import annotations

import math
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2

from preprocess.shell.checksum import frame
from trainer.monitoring.metric_rows import number
from trainer.search.search_run import Run, params_text
from trainer.search.space import Space
from trainer.training.run_directory import RunDirectory

if TYPE_CHECKING:
    pass

_PLUGIN = "hparams"
_VERSION = 0  # of HParamsPluginData
_EXPERIMENT, _START, _END = (
    f"_hparams_/{name}" for name in ("experiment", "session_start_info", "session_end_info")
)


def write_experiment(folder: Path, space: Space) -> None:
    """What is searched and what is measured, once a search."""
    directory = folder / "tensorboard"
    if directory.is_dir():
        return
    experiment = api_pb2.Experiment(
        name="search",
        time_created_secs=time.time(),
        hparam_infos=[api_pb2.HParamInfo(name=key) for key in space.keys],
        metric_infos=[
            api_pb2.MetricInfo(name=api_pb2.MetricName(tag=space.metric), display_name=space.metric)
        ],
    )
    data = plugin_data_pb2.HParamsPluginData(version=_VERSION, experiment=experiment)
    _write(directory, [_event(_plugin_value(_EXPERIMENT, data))])


def write_run(folder: Path, run: Run, value: float | None) -> None:
    """The values of a run, its curves, and how it ended; `value` None = it failed."""
    directory = folder / "tensorboard" / run.name
    shutil.rmtree(directory, ignore_errors=True)
    ended = time.time()
    rows = RunDirectory(str(folder / "trials" / run.name)).rows()
    took = float(rows[-1].get("seconds") or 0.0) if rows else 0.0
    # Repeats of a point have a group in common, which the page shows as one row, averaged.
    start = plugin_data_pb2.SessionStartInfo(
        group_name=params_text(run.params), start_time_secs=ended - took
    )
    for key, each in run.params.items():
        if isinstance(each, bool):
            start.hparams[key].bool_value = each
        elif isinstance(each, (int, float)):
            start.hparams[key].number_value = each
        else:
            start.hparams[key].string_value = each
    status = api_pb2.STATUS_FAILURE if value is None else api_pb2.STATUS_SUCCESS
    end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=ended)
    events = [
        _event(_plugin_value(_START, _data(session_start_info=start))),
        _event(_plugin_value(_END, _data(session_end_info=end))),
    ]
    for row in rows:
        for name, each in row.items():
            if name not in ("epoch", "step") and math.isfinite(number(each)):
                scalar = summary_pb2.Summary.Value(tag=name, simple_value=float(each))
                events.append(_event(scalar, int(row["step"])))
    _write(directory, events)


def _data(**fields: Any) -> Any:
    return plugin_data_pb2.HParamsPluginData(version=_VERSION, **fields)


def _plugin_value(tag: str, data: Any) -> Any:
    found = summary_pb2.Summary.Value(tag=tag)
    found.metadata.plugin_data.plugin_name = _PLUGIN
    found.metadata.plugin_data.content = data.SerializeToString()
    found.metadata.data_class = summary_pb2.DATA_CLASS_TENSOR
    # The page wants a tensor, whatever is in it: float32 of shape [1].
    found.tensor.dtype = 1
    found.tensor.tensor_shape.dim.add(size=1)
    found.tensor.float_val.append(0.0)
    return found


def _event(value: Any, step: int = 0) -> Any:
    return event_pb2.Event(
        wall_time=time.time(), step=step, summary=summary_pb2.Summary(value=[value])
    )


def _write(directory: Path, events: list[Any]) -> None:
    """An event file: TFRecords of events, the first one naming the format."""
    directory.mkdir(parents=True, exist_ok=True)
    first = event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2")
    records = b"".join(frame(event.SerializeToString()) for event in (first, *events))
    (directory / f"events.out.tfevents.{int(time.time())}.search").write_bytes(records)
