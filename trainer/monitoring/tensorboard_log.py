"""What TensorBoard shows of a run: scalars a split, weight histograms, pictures, the graph.

A thin layer over `tf.summary`. Training and every validation split write to a folder of
their own below the run's, so that TensorBoard draws them over each other; the step of every
value is the training step.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from trainer.monitoring.metric_rows import Row, accuracy_name, number, prefixes

if TYPE_CHECKING:
    import tensorflow as tf

_NOT_PLOTTED = ("epoch", "step")
_PARTIAL = ".partial"
_OTHERS = (_PARTIAL, ".profile-empty")  # ours unfinished, and the marker of a trace


class TensorBoardLog:
    """Writes one run's events; a restart continues in the same folder, no step twice.

    Args:
      directory: the run's `tensorboard` folder.
      resume_step: the training step the run resumes from. Events after it were written by an
        attempt that was lost, and will be written again: they are dropped. 0 = a new run.
      histograms: whether `weights` writes anything.
    """

    def __init__(self, directory: str, *, resume_step: int = 0, histograms: bool = True) -> None:
        self._directory = directory
        self._resume_step = resume_step
        self._histograms = histograms
        self._writers: dict[str, tf.summary.SummaryWriter] = {}
        drop_events_after(directory, resume_step)

    def epoch(self, row: Row) -> None:
        """The scalars of a row of metrics.jsonl, at its `step`; None and NaN are left out.

        As `tf.summary.scalar` writes them, but those of a folder at once: from Python 3.11 on,
        each eager tensor leaves some bytes behind (tensorflow/tensorflow#62551), which over
        thousands of epochs is most of what memory grows by.
        """
        for folder, scalars in split_scalars(row).items():
            self._scalars(folder, scalars, int(row["step"]))

    def scalars(self, scalars: Mapping[str, float], step: int) -> None:
        """Further scalars of the training, at a step of their own; NaN is left out."""
        if numbers := _numbers(scalars):
            self._scalars("train", numbers, step)

    def _scalars(self, folder: str, scalars: Mapping[str, float], step: int) -> None:
        import tensorflow as tf
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.plugins.scalar.summary_v2 import scalar_pb

        values = [scalar_pb(name, value).value[0] for name, value in scalars.items()]
        with self._writer(folder).as_default(step=step):
            tf.summary.experimental.write_raw_pb(Summary(value=values).SerializeToString())

    def weights(self, model: tf.keras.Model, step: int) -> None:
        """A histogram of every weight of a Keras model, moving statistics included."""
        import tensorflow as tf

        if not self._histograms:
            return
        with self._writer("train").as_default(step=step):
            for weight in model.weights:
                tf.summary.histogram(weight.name, weight)

    def picture(self, name: str, pixels: np.ndarray, step: int) -> None:
        """A picture, uint8 [H, W, C], such as a contact sheet."""
        import tensorflow as tf

        with self._writer("train").as_default(step=step):
            tf.summary.image(name, pixels[np.newaxis])

    def graph(self, function: tf.types.experimental.GenericFunction, *inputs: object) -> None:
        """The graph of a `tf.function` traced on the inputs or their specs; once a run."""
        import tensorflow as tf

        if self._resume_step:
            return
        traced = function.get_concrete_function(*inputs)
        with self._writer("train").as_default(step=0):
            tf.summary.graph(traced.graph)

    def flush(self) -> None:
        """Brings everything to the disk: call it with a checkpoint."""
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        """Flushes and closes the files; nothing can be written afterwards."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def __enter__(self) -> TensorBoardLog:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _writer(self, folder: str) -> tf.summary.SummaryWriter:
        import tensorflow as tf

        if folder not in self._writers:
            path = os.path.join(self._directory, folder)
            self._writers[folder] = tf.summary.create_file_writer(path)
        return self._writers[folder]


def split_scalars(row: Row) -> dict[str, dict[str, float]]:
    """The scalars of a row by folder: `train`, `validation`, `validation-NAME`.

    The metrics keep their bare names (`loss`), so that the folders share a plot; the bounds
    of an interval become `accuracy_low` and `accuracy_high`; speeds go to `train`.
    """
    metrics = ("loss", accuracy_name([row]))
    folders: dict[str, dict[str, float]] = {}
    used, splits = set(), dict[str, str]()
    for prefix in prefixes([row]):
        split = prefix.removeprefix("val_").removesuffix("_")
        folder = "train" if not prefix else f"validation-{split}" if split else "validation"
        if prefix:
            splits[prefix] = folder
        scalars: dict[str, object] = {}
        for metric in metrics:
            scalars[metric] = row.get(prefix + metric)
            bounds = row.get(f"{prefix}{metric}_interval") or (None, None)
            scalars[f"{metric}_low"], scalars[f"{metric}_high"] = bounds
            used |= {prefix + metric, f"{prefix}{metric}_interval"}
        folders[folder] = _numbers(scalars)
    rest = {name: value for name, value in row.items() if name not in used | {*_NOT_PLOTTED}}
    for prefix in sorted(splits, key=len, reverse=True):  # further metrics of a split
        of_split = {name: rest.pop(name) for name in [*rest] if name.startswith(prefix)}
        bare = {name.removeprefix(prefix): value for name, value in of_split.items()}
        folders[splits[prefix]].update(_numbers(bare))
    folders["train"].update(_numbers(rest))
    return {folder: scalars for folder, scalars in folders.items() if scalars}


def _numbers(values: Mapping[str, object]) -> dict[str, float]:
    """What is a finite number, as a float."""
    numbers = {name: number(value) for name, value in values.items()}
    return {name: value for name, value in numbers.items() if not np.isnan(value)}


def drop_events_after(directory: str, step: int) -> None:
    """Rewrites the event files of a run without what lies after `step`; 0 removes them.

    A damaged end, left by a process that was killed while writing, goes with it. Each file is
    replaced as a whole, so that a crash in here loses nothing.
    """
    import tensorflow as tf

    files = tf.io.gfile
    for folder, _, names in files.walk(directory):
        for name in names:
            if not name.startswith("events.out.tfevents.") or name.endswith(_OTHERS):
                continue
            path = files.join(folder, name)
            if step == 0:
                files.remove(path)
                continue
            with tf.io.TFRecordWriter(path + _PARTIAL) as writer:
                for event in _whole_records(path):
                    if tf.compat.v1.Event.FromString(event).step <= step:
                        writer.write(event)
            files.rename(path + _PARTIAL, path, overwrite=True)


def _whole_records(path: str) -> Iterator[bytes]:
    """The records of an event file up to the first that is damaged."""
    import tensorflow as tf

    try:
        for record in tf.data.TFRecordDataset(path):
            yield record.numpy()
    except tf.errors.DataLossError:
        return  # it was being written when the process died
