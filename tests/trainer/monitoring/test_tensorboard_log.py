"""TensorBoard events: where each scalar goes, and that a restart repeats no step."""

import pathlib

import numpy as np
import pytest

from trainer.monitoring.tensorboard_log import TensorBoardLog, split_scalars


def row(step: int, loss: float) -> dict:
    return {
        "epoch": step // 10,
        "step": step,
        "loss": loss,
        "accuracy": 0.5,
        "accuracy_interval": [0.4, 0.6],
        "val_loss": loss + 1,
        "val_accuracy": None,
        "val_hard_loss": float("nan"),
        "val_hard_accuracy": 0.25,
        "learning_rate": 1e-3,
    }


def events(folder: pathlib.Path) -> list:
    import tensorflow as tf

    return [
        tf.compat.v1.Event.FromString(record.numpy())
        for path in sorted(folder.glob("events*"))
        for record in tf.data.TFRecordDataset(str(path))
    ]


def scalars(folder: pathlib.Path, tag: str) -> list[tuple[int, float]]:
    import tensorflow as tf

    return [
        (event.step, float(tf.make_ndarray(value.tensor)))
        for event in events(folder)
        for value in event.summary.value
        if value.tag == tag
    ]


def test_a_split_has_a_folder_and_metrics_keep_their_names():
    assert split_scalars(row(10, 2.0)) == {
        "train": {
            "loss": 2.0,
            "accuracy": 0.5,
            "accuracy_low": 0.4,
            "accuracy_high": 0.6,
            "learning_rate": 1e-3,
        },
        "validation": {"loss": 3.0},
        "validation-hard": {"accuracy": 0.25},
    }


def test_scalars_are_at_their_training_step(tmp_path):
    with TensorBoardLog(str(tmp_path)) as log:
        log.epoch(row(10, 2.0))
        log.epoch(row(20, 1.0))
    assert scalars(tmp_path / "train", "loss") == [(10, 2.0), (20, 1.0)]
    assert scalars(tmp_path / "validation", "loss") == [(10, 3.0), (20, 2.0)]


def test_scalars_are_what_tf_summary_writes(tmp_path):
    import tensorflow as tf

    def written(folder):
        return [
            (
                event.step,
                value.tag,
                value.metadata,
                value.tensor.dtype,
                tf.make_ndarray(value.tensor),
            )
            for event in events(folder)
            for value in event.summary.value
        ]

    with TensorBoardLog(str(tmp_path)) as log:
        log.epoch(row(10, 2.0))
    writer = tf.summary.create_file_writer(str(tmp_path / "keras"))
    with writer.as_default(step=10):
        for name, value in split_scalars(row(10, 2.0))["train"].items():
            tf.summary.scalar(name, value)
    writer.close()
    assert written(tmp_path / "train") == written(tmp_path / "keras") != []


@pytest.mark.parametrize("damage", [b"", b"\x07half a record"])
def test_a_restart_goes_on_without_repeating_a_step(tmp_path, damage):
    """Steps 10 to 30 were written, the state is of step 20: 30 is written anew, with 0.25."""
    with TensorBoardLog(str(tmp_path)) as log:
        for step, loss in ((10, 2.0), (20, 1.0), (30, 0.5)):
            log.epoch(row(step, loss))
    for path in tmp_path.glob("*/events*"):
        path.write_bytes(path.read_bytes() + damage)
    with TensorBoardLog(str(tmp_path), resume_step=20) as log:
        log.epoch(row(30, 0.25))
    written = scalars(tmp_path / "train", "loss")
    assert sorted(written) == [(10, 2.0), (20, 1.0), (30, 0.25)]
    assert not list(tmp_path.glob("*/*.partial"))


def test_a_new_run_in_an_old_folder_starts_empty(tmp_path):
    for loss in (2.0, 1.0):
        with TensorBoardLog(str(tmp_path)) as log:
            log.epoch(row(10, loss))
    assert scalars(tmp_path / "train", "loss") == [(10, 1.0)]


def test_weights_pictures_and_the_graph_are_written(tmp_path):
    import tensorflow as tf

    model = tf.keras.Sequential([tf.keras.layers.Dense(2, input_shape=(3,), name="head")])
    function = tf.function(lambda batch: model(batch))
    for resume_step in (0, 10):  # the graph once, not again after a restart
        with TensorBoardLog(str(tmp_path), resume_step=resume_step) as log:
            log.graph(function, tf.TensorSpec([None, 3]))
            log.weights(model, resume_step + 10)
            log.picture("augmented", np.zeros((4, 6, 3), np.uint8), resume_step + 10)
    written = events(tmp_path / "train")
    tags = [(event.step, value.tag) for event in written for value in event.summary.value]
    expected = ["head/kernel:0", "head/bias:0", "augmented"]
    assert sorted(tags) == sorted((step, tag) for step in (10, 20) for tag in expected)
    assert sum(event.HasField("graph_def") for event in written) == 1


def test_histograms_can_be_left_out(tmp_path):
    import tensorflow as tf

    model = tf.keras.Sequential([tf.keras.layers.Dense(2, input_shape=(3,))])
    with TensorBoardLog(str(tmp_path), histograms=False) as log:
        log.weights(model, 10)
    assert not list(tmp_path.glob("*/events*"))
