"""What a finished run leaves, and what starting it again does."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from preprocess.shell.errors import ConfigError
from tests.trainer.training.test_loop import rows, state, triplet
from trainer.monitoring.memory_pressure import REREAD, STALLED
from trainer.monitoring.processor import OTHERS, OWN, THROTTLED
from trainer.monitoring.timeline import GOODPUT
from trainer.monitoring.timing import MEANS, SPREAD
from trainer.training.checkpoints import LAST, Checkpoints

ROW_KEYS = {
    "epoch",
    "step",
    "loss",
    "val_loss",
    "learning_rate",
    *MEANS,
    *SPREAD,
    OWN,
    OTHERS,
    THROTTLED,
    STALLED,
    REREAD,
    GOODPUT,
}


LOUD = dict.fromkeys(
    ("tensorboard__graph", "tensorboard__histograms", "tensorboard__pictures"), True
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, triplet_data):
    """A finished run of two epochs, and what it reported."""
    path = tmp_path_factory.mktemp("finished") / "run"
    with pytest.MonkeyPatch.context() as patch:
        from tests.trainer.conftest import train_in_process

        report = train_in_process(patch, triplet(**LOUD), triplet_data, path, pictures=True)
    return path, report


def test_a_run_leaves_everything_that_a_run_directory_has(finished):
    path, report = finished
    assert {p.name for p in path.iterdir()} == {
        "config.json",
        "metrics.jsonl",
        "progress.json",
        "report.json",
        "report.html",
        "plots",
        "checkpoints",
        "model",
        "tensorboard",
        "logs",
        "lock",
        "timeline",
    }
    written = json.loads((path / "report.json").read_text())
    assert written == {key: value for key, value in report.items() if key != "said"}
    assert {"steps", "epochs", "seconds", "images_per_second", "metrics"} <= written.keys()
    assert (written["steps"], written["epochs"]) == (10, 2)  # 33 triplets in batches of 8
    assert written["bottleneck"].keys() == {
        "kind",
        "stage",
        "verdict",
        "source",
        "input_tax",
        "shares",
        "advice",
    }
    assert written["bottleneck"]["source"] == "loop"
    assert len(written["weights_digest"]) == 64
    assert written["metrics"]["last"] == rows(path)[-1]
    config = json.loads((path / "config.json").read_text())
    assert config["config"]["batch_size"] == 8
    assert config["versions"]["tensorflow"] == tf.__version__


def test_an_epoch_has_its_line_of_figures(finished):
    found = rows(finished[0])
    assert [row["epoch"] for row in found] == [1, 2]
    assert [row["step"] for row in found] == [5, 10]
    for row in found:
        assert row.keys() >= ROW_KEYS | {"triplet_accuracy", "val_triplet_accuracy"}
        low, high = row["val_triplet_accuracy_interval"]
        assert 0 <= low <= row["val_triplet_accuracy"] <= high <= 1
        assert row["learning_rate"] == pytest.approx(1e-3)
        assert 0 <= row["input_wait_fraction"] <= 1


def test_the_saved_model_gives_the_outputs_of_the_last_state(finished):
    """Weights of the model and of the checkpoint, in the same order, are the same numbers."""
    model = tf.keras.models.load_model(finished[0] / "model")
    (last,) = Checkpoints(finished[0] / "checkpoints").states(LAST)
    restored = tf.keras.models.clone_model(model)
    tf.train.Checkpoint(model=restored).read(str(last / "state")).expect_partial()
    pictures = np.random.default_rng(0).uniform(0, 255, (2, 24, 24, 3)).astype("float32")
    outputs = model(pictures, training=False).numpy()
    np.testing.assert_array_equal(outputs, restored(pictures, training=False).numpy())
    np.testing.assert_allclose(np.linalg.norm(outputs, axis=1), 1, rtol=1e-5)  # scale 1


def test_the_saved_model_loads_elsewhere_as_the_readme_says(finished):
    """In a process that imports what docs/after-training.md names, and nothing else of ours."""
    code = (
        "import tensorflow as tf, trainer.models\n"
        f"model = tf.keras.models.load_model({str(finished[0] / 'model')!r})\n"
        "print(model(tf.zeros([1, 24, 24, 3])).shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("(1, "), done.stderr[-2000:]


def events(run, folder="train"):
    """(tags with a value, whether there is a graph) of the event files of a folder."""
    tags, graph = set(), False
    for path in (Path(run) / "tensorboard" / folder).glob("events.*"):
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            graph |= bool(event.graph_def)
            tags |= {value.tag for value in event.summary.value}
    return tags, graph


def test_tensorboard_has_scalars_histograms_pictures_and_the_graph(finished):
    tags, graph = events(finished[0])
    assert graph
    assert {"loss", "triplet_accuracy", "learning_rate", "augmented", "mistakes"} <= tags
    assert any(tag.startswith("dense_0/kernel") for tag in tags)
    assert {"loss", "triplet_accuracy"} <= events(finished[0], "validation")[0]


def test_a_finished_run_started_again_only_reports(finished, triplet_data, train_here):
    path, report = finished
    before = rows(path), state(path)
    again = train_here(triplet(**LOUD), triplet_data, path)
    assert again["weights_digest"] == report["weights_digest"]
    assert again["steps"] == 10
    assert (rows(path), state(path)) == before


def test_a_restart_with_another_configuration_is_refused_with_the_list(
    finished, triplet_data, train_here
):
    changed = triplet(loss__delta=0.4, batch_size=4)
    with pytest.raises(ConfigError, match=r"batch_size \(8 -> 4\); loss\.delta \(0\.5 -> 0\.4\)"):
        train_here(changed, triplet_data, finished[0])
