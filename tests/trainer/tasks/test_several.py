"""A class (or labels) and numbers at once: from a table to report, prediction and export."""

import csv
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from preprocess.dataset_format import Manifest, Target
from preprocess.shards import reading
from preprocess.shell.errors import ConfigError
from tests.trainer import datasets
from tests.trainer.tasks import real_commands
from trainer.config import with_values
from trainer.config.combinations import metric_names
from trainer.config.measure_table import greater_is_better
from trainer.config.own_code import own_code, with_files
from trainer.tasks.outputs import Outputs, softmax
from trainer.tasks.task import make_task

BOTH = {**datasets.CLASSIFICATION, "task": "class_and_numbers", "model.dropout": 0.0}
LABELS = {**BOTH, "task": "labels_and_numbers"}
RNG = np.random.default_rng(16)
BRIGHT = {*range(5), *range(10, 21)}
KINDS = ["bright" if at in BRIGHT else "dark" for at in range(31)]
AGES = [60 + at % 4 if at in BRIGHT else 20 + at % 3 for at in range(31)]
WEIGHTS = [at % 4 / 2 for at in range(31)]
CLASSES = ("a", "b", "c")
TARGETS = (Target("age", 40.0, 20.0), Target("price", 1e5, 5e5))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    columns = {"kind": KINDS, "age": list(map(str, AGES)), "w": list(map(str, WEIGHTS))}
    folder = tmp_path_factory.mktemp("several")
    return datasets.table(folder, columns, "--label=kind", "--targets=age", "--weight=w")


@pytest.fixture(scope="module")
def truth(data):
    """(class, age) of each picture's id, from the table."""
    with open(f"{data}/../table.csv", encoding="utf-8") as file:
        return {row["path"]: (row["kind"], float(row["age"])) for row in csv.DictReader(file)}


def test_records_hold_both_and_verify_and_preview_know_them(data, truth, tmp_path):
    manifest = Manifest.load(data)
    assert (manifest.task, manifest.classes) == ("class_and_numbers", datasets.CLASSES)
    assert [target.name for target in manifest.targets] == ["age"]
    assert manifest.weighted
    assert datasets.command("preprocess", "verify", data, "--deep").returncode == 0
    shown = datasets.command("preprocess", "preview", data, f"--output={tmp_path / 'a.png'}")
    assert shown.returncode == 0, shown.stderr
    for split in manifest.splits.values():
        for shard in split.image_shards():
            for record in reading.records(data, shard.file):
                kind, age = truth[record["image/id"].decode()]
                assert datasets.CLASSES[record["image/label"]] == kind
                assert record["image/targets"] == [age]


def test_tfds_reads_both(data, truth):
    tfds = pytest.importorskip("tensorflow_datasets")
    builder = tfds.builder_from_directory(data)
    assert builder.info.features["image/label"].names == list(datasets.CLASSES)
    dataset = builder.as_dataset(split="test")
    found = {
        each["image/id"].decode(): (datasets.CLASSES[each["image/label"]], *each["image/targets"])
        for each in dataset.as_numpy_iterator()
    }
    assert found == {name: each for name, each in truth.items() if name.startswith("test")}


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """Trained by the real command."""
    folder = tmp_path_factory.mktemp("both")
    config = datasets.write_config(
        folder / "config.py",
        BOTH,
        epochs=4,
        metrics=("f1", "root_mean_squared_error"),
        loss__names={"class": "focal", "numbers": "huber"},
        loss__args={"gamma": 1.5},
        loss__weights={"numbers": 0.5},
        loss__class_weights={"dark": 2.0},
        checkpoint__best_metric="val_numbers_loss",
        optimizer__learning_rate=0.01,
        augment__enabled=True,
        augment__flip=True,
    )
    return real_commands.train(folder, data, config, ("val_class_loss", "val_r2"))


@pytest.mark.slow
def test_every_row_has_the_loss_and_the_metric_of_each_part(run):
    workdir, report = run
    with open(f"{workdir}/metrics.jsonl", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    for row in rows:
        assert {"accuracy", "r2", "val_accuracy", "val_accuracy_interval", "val_r2"} <= row.keys()
        assert {"val_f1", "val_mean_absolute_error", "val_root_mean_squared_error"} <= row.keys()
        for prefix in ("", "val_"):
            both = row[f"{prefix}class_loss"] + 0.5 * row[f"{prefix}numbers_loss"]
            assert row[f"{prefix}loss"] == pytest.approx(both, rel=1e-5)
    best = min(row["val_numbers_loss"] for row in rows)
    assert report["metrics"]["best"]["val_numbers_loss"] == best


@pytest.mark.slow
def test_a_report_has_the_sections_and_plots_of_both(run):
    workdir, report = run
    parts = report["parts"]
    assert [row["class"] for row in parts["class"]["per_class"]] == list(datasets.CLASSES)
    assert [row["target"] for row in parts["numbers"]["targets"]] == ["age"]
    assert report["baseline"]["name"] == "always naming 'bright'"
    with open(f"{workdir}/report.html", encoding="utf-8") as file:
        page = file.read()
    for words in ("Confusion", "Predicted and true", "Further figures", "numbers loss"):
        assert words in page
    assert "Curves of the parts" in page
    for name in ("confusion", "scatter", "parts"):
        with open(f"{workdir}/plots/{name}.png", "rb") as file:
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
        ["embed", f"--images={data}", f"--output={tmp_path / 'embeddings.npz'}"],
    )
    last = report["metrics"]["last"]
    names = ("loss", "accuracy", "class_loss", "numbers_loss", "r2", "f1", "mean_absolute_error")
    for name in names:
        assert measured[name] == pytest.approx(last[f"val_{name}"], rel=1e-5), name
    with open(table, encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["path", "class", "p_bright", "p_dark", "age", "error"]
    ids = ["/".join(row["path"].split("/")[-3:]) for row in rows]
    right = [row["class"] == truth[name][0] for row, name in zip(rows, ids, strict=True)]
    assert np.mean(right) == pytest.approx(measured["accuracy"])
    off = [abs(float(row["age"]) - truth[name][1]) for row, name in zip(rows, ids, strict=True)]
    assert np.mean(off) == pytest.approx(measured["mean_absolute_error"], rel=1e-4)
    with open(tmp_path / "measured.csv", encoding="utf-8") as file:
        stored = {row["id"]: row for row in csv.DictReader(file)}
    for row, name in zip(rows, ids, strict=True):
        other = stored[name]
        assert (other["true_class"], float(other["true_age"])) == truth[name]
        assert other["class"] == row["class"]
        assert float(other["age"]) == pytest.approx(float(row["age"]), rel=1e-5)
    served = tf.saved_model.load(str(model)).signatures["serving_default"](
        images=tf.stack([tf.io.read_file(row["path"]) for row in rows])
    )
    assert {"class", "probabilities", "logits", "numbers", "embedding"} <= served.keys()
    assert [name.decode() for name in served["class"].numpy()] == [row["class"] for row in rows]
    ages = [[float(row["age"])] for row in rows]
    np.testing.assert_allclose(served["numbers"], ages, rtol=1e-4)
    signature = json.loads((model / "assets" / "signature.json").read_text())
    assert signature["classes"] == list(datasets.CLASSES)
    assert [target["name"] for target in signature["targets"]] == ["age"]


@pytest.mark.slow
def test_several_runs_and_augmentations_are_averaged_part_by_part(run, data, tmp_path):
    workdir, _ = run
    other = shutil.copytree(workdir, tmp_path / "run")
    done = datasets.command(
        "trainer", "evaluate", f"--workdir={workdir},{other}", f"--data={data}", "--json",
        "--average=probabilities", "--tta=2",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {"accuracy", "r2", "numbers_loss"} <= json.loads(done.stdout).keys()


def batch_of(task, rows=7):
    """Outputs, and a batch of records with weights."""
    outputs = RNG.normal(size=(rows, task.outputs_a_picture))
    numbers = RNG.normal([40, 1e5], [20, 5e5], (rows, 2)).astype(np.float32)
    labels = RNG.integers(0, 3, rows)
    batch = {"label": labels, "record_weight": RNG.random(rows)}
    batch["numbers"] = numbers.astype(np.float64)
    batch["labels"] = np.eye(3)[labels]
    return tf.constant(outputs), {name: tf.constant(each) for name, each in batch.items()}


def measured(task, outputs, batch):
    """The same on the host."""
    truth = task.truth({name: batch[name].numpy() for name in task.target_names})
    return Outputs(task.values(outputs.numpy()), truth, np.arange(len(truth)))


@pytest.mark.parametrize("class_weights", [{}, {"a": 3.0, "b": 0.5, "c": 1.0}])
def test_the_loss_is_the_weighted_sum_of_the_parts(class_weights):
    """In NumPy and float64: cross-entropy, and the mean square of deviations."""
    config = datasets.configuration(
        BOTH, loss__weights={"class": 0.25, "numbers": 2.0}, loss__class_weights=class_weights
    )
    task = make_task(config, CLASSES, TARGETS)
    outputs, batch = batch_of(task)
    labels, rows = batch["label"].numpy(), np.arange(7)
    entropy = -np.log(softmax(outputs.numpy()[:, :3])[rows, labels])
    deviations = (batch["numbers"].numpy() - [40, 1e5]) / [20, 5e5]
    squares = ((outputs.numpy()[:, 3:] - deviations) ** 2).mean(1)
    losses = task.loss(outputs, batch)
    np.testing.assert_allclose(losses, 0.25 * entropy + 2 * squares, rtol=1e-6)
    np.testing.assert_allclose(task.losses(measured(task, outputs, batch)), losses, rtol=1e-6)
    of_class = np.array([class_weights.get(name, 1) for name in CLASSES])[labels]
    expected = 0.25 * of_class * entropy + 2 * squares
    np.testing.assert_allclose(task.minimized(losses, outputs, batch), expected, rtol=1e-6)
    np.testing.assert_array_equal(task.factors(batch), batch["record_weight"])
    sums = dict(zip(task.kind.part_figures, task.part_sums(outputs, batch), strict=True))
    np.testing.assert_allclose(sums["class_loss"][0], entropy, rtol=1e-6)
    np.testing.assert_allclose(sums["numbers_loss"][0], squares, rtol=1e-6)
    explained, whole = sums["r2"]
    np.testing.assert_allclose(whole - explained, squares, rtol=1e-6)


@pytest.mark.parametrize(("base", "part", "alone"), [(BOTH, "class", "classification"),
    (BOTH, "numbers", "regression"), (LABELS, "labels", "multilabel"),
    (LABELS, "numbers", "regression")])  # fmt: skip
def test_a_part_alone_is_the_task_of_its_own(base, part, alone):
    """With the other part's weight 0."""
    other = {"class": "numbers", "labels": "numbers"}.get(part) or (
        "class" if base is BOTH else "labels"
    )
    both = make_task(datasets.configuration(base, loss__weights={other: 0}), CLASSES, TARGETS)
    changes = {**base, "task": alone}
    single = make_task(datasets.configuration(changes), CLASSES, TARGETS)
    outputs, batch = batch_of(both)
    columns = outputs[:, 3:] if part == "numbers" else outputs[:, :3]
    np.testing.assert_array_equal(both.loss(outputs, batch), single.loss(columns, batch))
    ours, theirs = measured(both, outputs, batch), measured(single, columns, batch)
    np.testing.assert_array_equal(both.losses(ours), single.losses(theirs))
    figures = {**both.figures(ours), **both.measured(ours)}
    expected = {**single.figures(theirs), **single.measured(theirs)}
    for name in {single.metric, *single.measured_names}:
        assert figures[name] == expected[name], name
    assert both.details(ours, None)[part] == single.details(theirs, None)
    for name, cell in zip(
        single.prediction_columns(), single.prediction_cells(theirs.values[0]), strict=True
    ):
        at = both.prediction_columns().index(name)
        assert both.prediction_cells(ours.values[0])[at] == cell


def test_probabilities_are_averaged_for_the_class_and_values_for_the_numbers():
    task = make_task(datasets.configuration(BOTH), CLASSES, TARGETS)
    outputs, batch = batch_of(task)
    one, two = (measured(task, outputs * factor, batch) for factor in (1.0, 3.0))
    mean = task.average([one, two], "probabilities").values
    chances = [softmax(each.values[:, :3]) for each in (one, two)]
    np.testing.assert_allclose(softmax(mean[:, :3]), np.mean(chances, 0))
    np.testing.assert_allclose(mean[:, 3:], (one.values[:, 3:] + two.values[:, 3:]) / 2)


def test_a_number_that_is_called_like_a_column_of_the_class_has_the_parts_name():
    targets = (Target("class", 0.0, 1.0), Target("p_a", 0.0, 1.0))
    task = make_task(datasets.configuration(BOTH), ("a", "b"), targets)
    columns = ["class", "p_a", "p_b", "numbers_class", "numbers_p_a"]
    assert task.prediction_columns() == columns
    assert task.truth_columns() == ["true_class", "numbers_true_class", "true_p_a"]


def test_the_metrics_of_both_are_there_to_be_watched():
    config = datasets.configuration(LABELS, metrics=("f1", "precision"))
    names = metric_names(config)
    assert names[:5] == ["loss", "exact_match", "labels_loss", "numbers_loss", "r2"]
    assert {"val_labels_loss", "val_auc", "val_precision", "val_mean_absolute_error"} <= {*names}
    assert not greater_is_better("val_numbers_loss")
    assert greater_is_better("val_r2")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"loss.weights": {"number": 1}}, "no such part .did you mean 'numbers'.*class, numbers"),
        ({"loss.weights": {"class": -1}}, "loss.weights.class: received -1, takes a number of 0"),
        ({"loss.weights": {"class": True}}, "loss.weights.class: received True"),
        ({"loss.weights": {"class": 0, "numbers": 0}}, "all are 0"),
        ({"loss.name": "focal"}, "each part has its own, set loss.names.class or loss.names.num"),
        ({"loss.names": {"class": "huber"}}, "loss.names.class=huber is for task=regression"),
        ({"loss.names": {"numbers": 3}}, "loss.names.numbers: received 3, takes the name of"),
        ({"loss.names": {"klass": "focal"}}, "loss.names.klass: .* has no such part"),
        ({"task": "classification", "loss.weights": {"class": 1}}, "has a single loss; leave it"),
        ({"task": "labels_and_numbers", "loss.class_weights": "balanced"}, "only supported for"),
        ({"augment.enabled": True, "augment.mixup": 0.2}, "mixes labels, for classification, mul"),
        ({"metrics": ("top_3", "exactness")}, "no metric 'exactness' for task=class_and_numbers"),
        ({"data.validation_splits": ("class",)}, "val_class_loss is the loss of the part"),
    ],
)
def test_settings_that_mean_nothing_are_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        datasets.configuration({**BOTH, **changes})


def test_a_setting_goes_to_the_loss_that_takes_it_or_is_refused():
    args = {"label_smoothing": 0.1}
    task = make_task(datasets.configuration(BOTH, loss__args=args), CLASSES, TARGETS)
    plain = make_task(datasets.configuration(BOTH), CLASSES, TARGETS)
    outputs, batch = batch_of(task)
    (ours, numbers, _), (theirs, same, _) = (
        [part for part, _ in each.part_sums(outputs, batch)] for each in (task, plain)
    )
    assert not np.allclose(ours, theirs)
    np.testing.assert_array_equal(numbers, same)
    with pytest.raises(ConfigError, match=r"loss.args.gama: none of the losses cross_entropy, me"):
        make_task(datasets.configuration(BOTH, loss__args={"gama": 1}), CLASSES, TARGETS)


OWN = """
import tensorflow as tf

def power(values, targets, exponent=3.0):
    return tf.reduce_mean(tf.abs(values - targets) ** exponent, -1)

def widest(scores, truth):
    return float(scores.shape[1] + truth.shape[1])
"""


def test_a_part_takes_a_loss_and_all_parts_a_metric_of_the_users_own(tmp_path):
    """A metric gets three probabilities and two numbers, and the class number and two numbers."""
    file = tmp_path / "mine.py"
    file.write_text(OWN)
    config = datasets.configuration(
        BOTH,
        loss__names={"numbers": f"{file}:power"},
        loss__args={"exponent": 4.0},
        loss__weights={"class": 0},
        metrics=(f"{file}:widest", "auc"),
    )
    assert own_code(config) == {
        "loss.names.numbers": f"{file}:power",
        "metrics.widest": f"{file}:widest",
    }
    task = make_task(config, CLASSES, TARGETS)
    outputs, batch = batch_of(task)
    deviations = (batch["numbers"].numpy() - [40, 1e5]) / [20, 5e5]
    expected = (np.abs(outputs.numpy()[:, 3:] - deviations) ** 4).mean(1)
    np.testing.assert_allclose(task.loss(outputs, batch), expected, rtol=1e-4)
    assert task.measured(measured(task, outputs, batch))["widest"] == 5 + 3
    elsewhere = with_values(config, {"loss.names": {"numbers": "/other/mine.py:power"}})
    assert with_files(elsewhere, [f"{file}:power"], {}).loss.names == config.loss.names


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("narrow", "too many positional arguments; it is called as narrow"),
        ("missing", "has no missing"),
        ("number", "is a int; it is called as number"),
    ],
)
@pytest.mark.parametrize("part", ["class", "numbers"])
def test_an_own_loss_of_a_part_is_refused_under_the_key_it_was_given_as(
    tmp_path, part, name, words
):
    file = tmp_path / "mine.py"
    file.write_text("number = 3\n\ndef narrow(values):\n    return values\n")
    config = datasets.configuration(BOTH, loss__names={part: f"{file}:{name}"})
    with pytest.raises(ConfigError, match=words) as caught:
        make_task(config, CLASSES, TARGETS)
    assert str(caught.value).startswith(f"loss.names.{part}={file}:{name}")


@pytest.mark.parametrize("base", [BOTH, LABELS])
def test_an_own_task_of_several_parts_is_derived_from_ours(tmp_path, base):
    """Another would have no losses, and not the figures that every row has."""
    file = tmp_path / "mine.py"
    file.write_text(
        "from trainer.tasks import classes, several\n"
        f"RECORDS = {base['task']!r}\n"
        "class Alone(classes.Classes): pass\n"
        "class Both(several.Several): pass\n"
    )
    alone, both = (
        datasets.configuration({**base, "task": f"{file}:{name}"}) for name in ("Alone", "Both")
    )
    with pytest.raises(ConfigError, match=r"derive Alone from trainer\.tasks\.several\.Several$"):
        make_task(alone, CLASSES, TARGETS)
    with pytest.raises(ConfigError, match=r"loss\.names"):
        datasets.configuration({**base, "task": f"{file}:Both"}, loss__name="cross_entropy")
    ours = make_task(datasets.configuration(base), CLASSES, TARGETS)
    own = make_task(both, CLASSES, TARGETS)
    outputs, batch = batch_of(own)
    np.testing.assert_array_equal(own.loss(outputs, batch), ours.loss(outputs, batch))
    assert len(own.part_sums(outputs, batch)) == len(own.kind.part_figures)
