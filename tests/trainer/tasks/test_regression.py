"""Numbers of pictures: from a table to report, prediction, evaluation and export."""

import csv
import json

import numpy as np
import pytest
import tensorflow as tf

from preprocess.dataset_format import Manifest, Target
from preprocess.shards import reading
from tests.trainer import datasets
from tests.trainer.tasks import real_commands
from trainer.config.learning_sections import LossConfig
from trainer.losses.build_loss import build_loss
from trainer.measures.build_measures import build_measures
from trainer.tasks.number_report import number_report, r_squared
from trainer.tasks.outputs import Outputs
from trainer.tasks.task import make_task

REGRESSION = {**datasets.CLASSIFICATION, "task": "regression", "model.dropout": 0.0}
RNG = np.random.default_rng(6)
BRIGHT = {*range(5), *range(10, 21)}
AGES = [60 + at % 4 if at in BRIGHT else 20 + at % 3 for at in range(31)]
PRICES = [1e6 * (at in BRIGHT) - 250_000 for at in range(31)]
TARGETS = (Target("age", 40.0, 20.0), Target("price", 1e5, 5e5))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("numbers")
    columns = {"age": [str(age) for age in AGES], "cost": [f"{price:.0f}" for price in PRICES]}
    return datasets.table(folder, columns, "--targets=age,price", "--columns=price=cost")


@pytest.fixture(scope="module")
def truth(data):
    """(age, price) of each picture's id, from the table."""
    with open(f"{data}/../table.csv", encoding="utf-8") as file:
        return {r["path"]: [float(r["age"]), float(r["cost"])] for r in csv.DictReader(file)}


def test_records_hold_the_numbers_and_the_manifest_what_they_are_learned_by(data, truth):
    manifest = Manifest.load(data)
    train = np.array([each for name, each in truth.items() if name.startswith("train")])
    assert manifest.task == "regression"
    assert [target.name for target in manifest.targets] == ["age", "price"]
    for at, target in enumerate(manifest.targets):
        assert target.mean == pytest.approx(train[:, at].mean())
        assert target.std == pytest.approx(train[:, at].std())
    assert Manifest.from_json(manifest.to_json()) == manifest
    assert datasets.command("preprocess", "verify", data, "--deep").returncode == 0
    for split in manifest.splits.values():
        for shard in split.image_shards():
            for record in reading.records(data, shard.file):
                assert record["image/targets"] == truth[record["image/id"].decode()]


def test_tfds_reads_them(data, truth):
    tfds = pytest.importorskip("tensorflow_datasets")
    dataset = tfds.builder_from_directory(data).as_dataset(split="test")
    found = {e["image/id"].decode(): list(e["image/targets"]) for e in dataset.as_numpy_iterator()}
    assert found == {name: each for name, each in truth.items() if name.startswith("test")}


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """Trained by the real command."""
    folder = tmp_path_factory.mktemp("regression")
    config = datasets.write_config(
        folder / "config.py",
        REGRESSION,
        epochs=4,
        loss__name="huber",
        metrics=("root_mean_squared_error",),
        checkpoint__best_metric="val_mean_absolute_error",
        optimizer__learning_rate=0.01,
    )
    return real_commands.train(folder, data, config, ("val_r2", "val_mean_absolute_error"))


@pytest.mark.slow
def test_a_report_has_errors_by_number_and_a_scatter_plot(run):
    workdir, report = run
    last, best = report["metrics"]["last"], report["metrics"]["best"]
    assert best["val_mean_absolute_error"] <= last["val_mean_absolute_error"]
    low, high = last["val_r2_interval"]
    assert low <= last["val_r2"] <= high <= 1
    rows = report["regression"]["targets"]
    assert [row["target"] for row in rows] == ["age", "price"]
    assert last["val_mean_absolute_error"] == pytest.approx(
        np.mean([row["mean_absolute_error"] for row in rows])
    )
    assert [len(row["points"]) for row in rows] == [10, 10]
    with open(f"{workdir}/report.html", encoding="utf-8") as file:
        assert "Predicted and true" in file.read()
    with open(f"{workdir}/plots/scatter.png", "rb") as file:
        assert file.read(4) == b"\x89PNG"


@pytest.mark.slow
def test_prediction_evaluation_and_export_agree(run, data, truth, tmp_path):
    workdir, report = run
    table, model = tmp_path / "predicted.csv", tmp_path / "model"
    measured = real_commands.use(
        workdir,
        data,
        tmp_path,
        model,
    )
    last = report["metrics"]["last"]
    for name in ("r2", "mean_absolute_error", "root_mean_squared_error", "loss"):
        assert measured[name] == pytest.approx(last[f"val_{name}"]), name
    with open(table, encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    predicted = np.array([[float(row["age"]), float(row["price"])] for row in rows])
    true = np.array([truth["/".join(row["path"].split("/")[-3:])] for row in rows])
    error = np.abs(predicted - true).mean()
    assert error == pytest.approx(measured["mean_absolute_error"], rel=1e-4)
    with open(tmp_path / "measured.csv", encoding="utf-8") as file:
        stored = {row["id"]: row for row in csv.DictReader(file)}
    for row, numbers in zip(rows, true, strict=True):
        other = stored["/".join(row["path"].split("/")[-3:])]
        assert float(other["age"]) == pytest.approx(float(row["age"]), rel=1e-5)
        found = [float(other["true_age"]), float(other["true_price"])]
        assert found == pytest.approx(numbers, rel=1e-6)
    served = tf.saved_model.load(str(model)).signatures["serving_default"](
        images=tf.stack([tf.io.read_file(row["path"]) for row in rows])
    )
    np.testing.assert_allclose(served["numbers"], predicted, rtol=1e-4)
    signature = json.loads((model / "assets" / "signature.json").read_text())
    assert [target["name"] for target in signature["targets"]] == ["age", "price"]


def test_numbers_are_learned_in_deviations_and_measured_in_their_units():
    task = make_task(datasets.configuration(REGRESSION), (), TARGETS)
    deviations = RNG.normal(size=(5, 2))
    values = task.values(deviations)
    np.testing.assert_allclose(values, [40, 1e5] + deviations * [20, 5e5])
    true = values + np.array([10.0, -5e5])
    outputs = Outputs(values, true, np.arange(5))
    np.testing.assert_allclose(task.losses(outputs), (0.5**2 + 1) / 2)
    batch = {"numbers": tf.constant(true, tf.float32)}
    np.testing.assert_allclose(
        task.loss(tf.constant(deviations, tf.float32), batch), (0.5**2 + 1) / 2, rtol=1e-4
    )
    assert task.measured(outputs)["mean_absolute_error"] == pytest.approx((10 + 5e5) / 2)
    explained, whole = task.hits(tf.constant(deviations, tf.float32), batch)
    wanted = (true - [40, 1e5]) / [20, 5e5]
    np.testing.assert_allclose(whole, (wanted**2).mean(1), rtol=1e-4)
    np.testing.assert_allclose(whole - explained, (0.5**2 + 1) / 2, rtol=1e-4)


def test_r_squared_is_its_definition_and_its_interval_that_of_resampling():
    """1,500 records; 400 resamples give the standard error to within a tenth or so."""
    true = RNG.normal(size=(1500, 2)) * [1, 50]
    predicted = true * 0.8 + RNG.normal(size=true.shape) * [0.5, 30]

    def of(rows):
        ours, theirs = predicted[rows], true[rows]
        explained = 1 - ((ours - theirs) ** 2).sum(0) / ((theirs - theirs.mean(0)) ** 2).sum(0)
        return explained.mean()

    found, (low, high) = r_squared(predicted, true)
    assert found == pytest.approx(of(slice(None)))
    resampled = np.std([of(RNG.integers(0, 1500, 1500)) for _ in range(400)])
    assert (high - low) / 2 == pytest.approx(1.96 * resampled, rel=0.25)


def test_numbers_that_do_not_vary_have_no_r_squared():
    constant = np.ones((4, 1))
    assert r_squared(constant, constant) == (None, None)
    assert r_squared(np.zeros((0, 2)), np.zeros((0, 2))) == (None, None)
    rows = number_report(np.zeros((0, 2)), np.zeros((0, 2)), TARGETS)["targets"]
    assert rows[0]["mean_absolute_error"] is None
    measures = build_measures(("mean_absolute_error", "root_mean_squared_error"), "regression")
    assert {m(np.zeros((0, 2)), np.zeros((0, 2))) for m in measures.values()} == {None}


@pytest.mark.parametrize(
    ("name", "of_keras"),
    [
        ("mean_squared_error", tf.keras.losses.mean_squared_error),
        ("mean_absolute_error", tf.keras.losses.mean_absolute_error),
        ("log_cosh", tf.keras.losses.log_cosh),
        ("huber", lambda y, x: tf.keras.losses.Huber(0.7, reduction="none")(y, x)),
    ],
)
def test_a_loss_is_that_of_keras(name, of_keras):
    ours, wanted = RNG.normal(size=(2, 8, 3)) * 2
    found = build_loss("regression", LossConfig(name=name, delta=0.7))(ours, wanted)
    np.testing.assert_allclose(found, of_keras(wanted, ours), rtol=1e-5)
