"""Several labels a picture: from a table to report, prediction, evaluation and export."""

import csv
import json

import numpy as np
import pytest
import tensorflow as tf

from preprocess.dataset_format import Manifest
from preprocess.shards import reading
from tests.trainer import datasets
from tests.trainer.tasks import real_commands
from trainer.data.order import ReplicaSlice
from trainer.data.reader import open_reader
from trainer.inference.class_names import UNKNOWN_CLASS, matched
from trainer.tasks.label_report import THRESHOLDS, label_report
from trainer.tasks.outputs import Outputs, sigmoid
from trainer.tasks.task import make_task

MULTILABEL = {**datasets.CLASSIFICATION, "task": "multilabel", "model.dropout": 0.0}
# Of each picture by its place: bright or not, every second one, every fifth; some have none.
PLACES = range(31)
BRIGHT = {*range(5), *range(10, 21)}
TAGS = [
    "|".join([*["light"] * (at in BRIGHT), *["second"] * (at % 2), *["fifth | x"] * (at % 5 == 0)])
    for at in PLACES
]
LABELS = ("fifth", "light", "second", "x")


def wanted(tags):
    """The set of labels of a cell."""
    return {part.strip() for part in tags.split("|")} - {""}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labels")
    return datasets.table(folder, {"tags": TAGS}, "--labels=tags", "--separator=|")


@pytest.fixture(scope="module")
def truth(data):
    """The labels of each picture's id, from the table."""
    with open(f"{data}/../table.csv", encoding="utf-8") as file:
        return {row["path"]: wanted(row["tags"]) for row in csv.DictReader(file)}


def test_records_hold_the_labels_of_the_table(data, truth):
    manifest = Manifest.load(data)
    assert (manifest.task, manifest.classes) == ("multilabel", LABELS)
    assert datasets.command("preprocess", "verify", data, "--deep").returncode == 0
    for split in manifest.splits.values():
        for shard in split.image_shards():
            for record in reading.records(data, shard.file):
                numbers = record["image/labels"]
                numbers = numbers if isinstance(numbers, list) else [numbers]
                assert {LABELS[n] for n in numbers} == truth[record["image/id"].decode()]


def test_tfds_reads_them_with_their_names(data, truth):
    tfds = pytest.importorskip("tensorflow_datasets")
    builder = tfds.builder_from_directory(data)
    assert builder.info.features["image/labels"].feature.names == list(LABELS)
    for element in builder.as_dataset(split="train").as_numpy_iterator():
        found = {LABELS[number] for number in element["image/labels"]}
        assert found == truth[element["image/id"].decode()]


@pytest.mark.parametrize("table", ["auto", "decoded", "encoded"])
def test_a_batch_has_a_column_a_label(data, truth, table):
    config = datasets.configuration(MULTILABEL, data__image_table=table)
    manifest = Manifest.load(data)
    reader = open_reader(data, manifest, "test", config, training=False)
    shards = manifest.split("test").image_shards()
    ids = [r["image/id"].decode() for s in shards for r in reading.records(data, s.file)]
    rows = [row for b in reader.dataset(0, ReplicaSlice(0, 1, 1), 2) for row in b["labels"].numpy()]
    expected = [[float(label in truth[name]) for label in LABELS] for name in ids]
    np.testing.assert_array_equal(rows[: len(ids)], expected)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """Trained by the real command."""
    folder = tmp_path_factory.mktemp("multilabel")
    config = datasets.write_config(
        folder / "config.py", MULTILABEL, epochs=3, checkpoint__best_metric="val_f1"
    )
    return real_commands.train(folder, data, config, ("val_exact_match", "val_f1_micro"))


@pytest.mark.slow
def test_a_report_has_the_figures_a_table_of_thresholds_and_the_level_of_chance(run):
    workdir, report = run
    last = report["metrics"]["last"]
    assert {"val_exact_match", "val_f1", "val_f1_micro", "val_auc"} <= last.keys()
    assert report["metrics"]["best"]["val_f1"] >= last["val_f1"]
    details = report["multilabel"]
    assert [row["label"] for row in details["per_label"]] == list(LABELS)
    assert [row["threshold"] for row in details["thresholds"]] == list(THRESHOLDS)
    assert report["baseline"]["name"].startswith("always giving ")
    with open(f"{workdir}/report.html", encoding="utf-8") as file:
        page = file.read()
    assert "Further figures" in page and "Thresholds" in page and "best threshold" in page


@pytest.mark.slow
def test_prediction_evaluation_and_export_agree(run, data, tmp_path):
    workdir, report = run
    table, model = tmp_path / "predicted.csv", tmp_path / "model"
    measured = real_commands.use(
        workdir,
        data,
        tmp_path,
        model,
    )
    last = report["metrics"]["last"]
    for name in ("exact_match", "f1", "f1_micro", "auc"):
        assert measured[name] == pytest.approx(last[f"val_{name}"]), name
    with open(table, encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 10
    files = [tf.io.read_file(row["path"]) for row in rows]
    served = tf.saved_model.load(str(model)).signatures["serving_default"](images=tf.stack(files))
    for at, row in enumerate(rows):
        shares = [float(row[f"p_{label}"]) for label in LABELS]
        np.testing.assert_allclose(served["probabilities"][at], shares, atol=1e-5)
        given = {label for label, share in zip(LABELS, shares, strict=True) if share >= 0.5}
        assert {*row["labels"].split(";")} - {""} == given
        assert {LABELS[n] for n in np.flatnonzero(served["labels"][at])} == given
    with open(tmp_path / "measured.csv", encoding="utf-8") as file:
        stored = {row["id"]: row for row in csv.DictReader(file)}
    for row in rows:
        other = stored["/".join(row["path"].split("/")[-3:])]
        assert other["labels"] == row["labels"]
        for label in LABELS:  # of batches of another size, so the last digit may be rounded
            share = float(row[f"p_{label}"])
            assert float(other[f"p_{label}"]) == pytest.approx(share, abs=2e-6)
    exact = np.mean([row["labels"] == row["true_labels"] for row in stored.values()])
    assert exact == pytest.approx(measured["exact_match"])
    signature = json.loads((model / "assets" / "signature.json").read_text())
    assert (signature["task"], signature["classes"]) == ("multilabel", list(LABELS))


def test_figures_by_threshold_are_those_of_counting():
    rng = np.random.default_rng(2)
    scores, true = rng.random((40, 3)), rng.random((40, 3)) < 0.4
    found = label_report(true.astype(float), scores, ("a", "b", "c"))
    for row in found["thresholds"]:
        given = scores >= row["threshold"]
        both = int((given & true).sum())
        assert row["precision"] == (both / given.sum() if given.any() else None)
        assert row["recall"] == both / true.sum()
        assert row["exact_match"] == np.mean(
            [list(g) == list(t) for g, t in zip(given, true, strict=False)]
        )
    f1 = [row["f1"] for row in found["thresholds"]]
    assert found["best_threshold"] == THRESHOLDS[int(np.argmax(f1))]


def test_probabilities_of_runs_are_averaged_as_such():
    task = make_task(datasets.configuration(MULTILABEL), ("a", "b"))
    runs = [
        Outputs(np.array(values), np.ones((1, 2)), np.arange(1))
        for values in ([[4.0, -1.0]], [[-2.0, -800.0]])
    ]
    mean = task.average(runs, "probabilities").values
    np.testing.assert_allclose(
        sigmoid(mean), (sigmoid(runs[0].values) + sigmoid(runs[1].values)) / 2
    )
    np.testing.assert_array_equal(task.average(runs, "logits").values, [[1.0, -400.5]])


def test_the_baseline_gives_the_labels_that_are_most_often_together():
    task = make_task(datasets.configuration(MULTILABEL), ("a", "b"))
    targets = np.array([[1, 1], [0, 0], [1, 1], [0, 1]], np.float32)
    outputs = Outputs(np.zeros((4, 2)), targets, np.arange(4))
    assert task.baseline(outputs) == {"name": "always giving 'a', 'b'", "accuracy": 0.5}


def test_labels_of_another_dataset_are_matched_by_name():
    said = []
    relabel = matched(["a", "b", "c"], ["c", "d", "a"], said.append)
    batch = {"labels": tf.constant([[1.0, 0, 1], [0, 1, 0]]), "weight": tf.constant([1.0, 0])}
    assert relabel(batch)["labels"].numpy()[0].tolist() == [1, 0, 1]
    with pytest.raises(tf.errors.InvalidArgumentError, match=UNKNOWN_CLASS):
        relabel({**batch, "weight": tf.constant([1.0, 1.0])})
    assert "does not know (d)" in said[0]
