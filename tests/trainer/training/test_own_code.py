"""A user's own code in a training: used as a name would be, tried first, and recorded."""

import json

import pytest

from preprocess.shell.errors import ConfigError
from tests.trainer import datasets, own_code
from trainer.config.learning_sections import LossConfig
from trainer.inference.trained_run import open_run
from trainer.losses.build_loss import build_loss
from trainer.train import train
from trainer.training.resuming import check_same_code, check_workers_code
from trainer.training.run_directory import RunDirectory


@pytest.fixture
def mine(tmp_path):
    files = {"loss": own_code.LOSS, "helper": own_code.HELPER, "figures": own_code.METRIC}
    return own_code.write(tmp_path / "mine", **files)


def configuration(**changes):
    changes = {"epochs": 1, "model__backbone": "mlp", **changes}
    return datasets.configuration(datasets.CLASSIFICATION, **changes)


def written(tmp_path, text):
    return own_code.write(tmp_path / "mine", part=text) / "part.py"


@pytest.mark.parametrize("count", [1, 2])
def test_an_own_loss_and_metric_give_what_ours_give(class_data, tmp_path, train_here, mine, count):
    """The Brier score: `brier` of trainer/losses is the same. On two replicas as well."""
    changes = {"loss__name": f"{mine}/loss.py:brier", "metrics": (f"{mine}/figures.py:error_rate",)}
    config = configuration(checkpoint__best_metric="val_error_rate", **changes)
    report = train_here(config, class_data, tmp_path / "run", count)
    assert "own code tried on a batch: loss.name, metrics.error_rate" in report["said"]
    ours = train_here(configuration(loss__name="brier"), class_data, tmp_path / "ours", count)
    row, expected = (each["metrics"]["last"] for each in (report, ours))
    for name in ("loss", "val_loss"):
        assert row[name] == pytest.approx(expected[name], rel=1e-5)
    assert row["val_error_rate"] == pytest.approx(1 - row["val_accuracy"])
    recorded = RunDirectory(tmp_path / "run").read_config()["references"]
    assert list(recorded) == ["loss.name", "metrics.error_rate"]
    assert list(recorded["loss.name"]["imports"]) == ["helper.py"]


def test_settings_go_to_the_function(mine):
    loss = build_loss("classification", LossConfig(name=f"{mine}/loss.py:brier", args={"power": 1}))
    assert loss([[0.0, 0.0]], [1]).numpy() == pytest.approx([1.0])
    with pytest.raises(ConfigError, match="unexpected keyword argument 'powr'"):
        build_loss("classification", LossConfig(name=f"{mine}/loss.py:brier", args={"powr": 1}))


LOSSES = [
    ("def f(values): 0", "too many positional arguments; it is called as f"),
    ("def ff(values, targets): 0", "has no f .did you mean 'ff'"),
    ("f = 3", "is a int; it is called as f"),
    ("def f(values, targets):\n    return values.sum()", "part.py, line 2: AttributeError"),
    (
        "def f(values, targets):\n    return 1.0",
        r"returns float32\[\]; it must return float32\[8\]",
    ),
    (
        "import tensorflow as tf\ndef f(values, targets):\n    return tf.reduce_mean(values)",
        r"returns float32\[\]; it must return float32\[8\], one value a record",
    ),
    (
        "import tensorflow as tf\ndef f(values, targets):\n"
        "    return tf.cast(tf.reduce_sum(values, -1), tf.float16)",
        r"returns float16\[8\]",
    ),
    (
        "import tensorflow as tf\ndef f(values, targets):\n"
        "    return tf.math.log(-tf.abs(values[:, 0]))",
        "its result is NaN or infinite in 8 of 8 numbers",
    ),
    (
        "import tensorflow as tf\ndef f(values, targets):\n"
        "    return tf.cast(tf.argmax(values, -1) == targets, tf.float32)",
        "no gradient reaches the model's outputs",
    ),
    (
        "import tensorflow as tf\ndef f(values, targets):\n"
        "    return values[:, 0] * tf.random.uniform([])",
        "returns another result when called again",
    ),
    (
        "import tensorflow as tf\ndef f(values, targets):\n"
        "    return tf.reduce_mean(values, -1) - tf.reduce_max(values)",
        "depends on the other records of the batch",
    ),
]


@pytest.mark.parametrize(("text", "words"), LOSSES)
def test_a_loss_that_cannot_be_trained_with_is_one_line(
    class_data, tmp_path, train_here, text, words
):
    config = configuration(loss__name=f"{written(tmp_path, text)}:f")
    with pytest.raises(ConfigError, match=words) as caught:
        train_here(config, class_data, tmp_path / "run")
    assert str(caught.value).startswith(f"loss.name={config.loss.name}")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run" / "config.json").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def f(scores): 0", "too many positional"),
        ("def f(scores, truth):\n    return scores", "gives a ndarray; it must give one number"),
        ("def f(scores, truth):\n    return {}['x']", "part.py, line 2: KeyError: 'x'"),
    ],
)
def test_a_metric_that_gives_no_number_is_one_line(class_data, tmp_path, train_here, text, words):
    config = configuration(metrics=(f"{written(tmp_path, text)}:f",))
    with pytest.raises(ConfigError, match=words) as caught:
        train_here(config, class_data, tmp_path / "run")
    assert str(caught.value).startswith("metrics=")


@pytest.mark.parametrize("value", ["None", "float('nan')"])
def test_a_figure_that_does_not_exist_is_null(class_data, tmp_path, train_here, value):
    file = written(tmp_path, f"def f(scores, truth):\n    return {value}")
    report = train_here(configuration(metrics=(f"{file}:f",)), class_data, tmp_path / "run")
    assert report["metrics"]["last"]["val_f"] is None


def test_own_code_of_every_task_is_tried(triplet_data, tmp_path, train_here):
    """Of triplets: squared distances, and votes that sum to 1."""
    text = (
        "import tensorflow as tf\ndef f(values, targets):\n"
        "    tf.debugging.assert_near(tf.reduce_sum(targets, -1), 1.0)\n"
        "    return tf.reduce_sum(values * (1 - targets), -1)"
    )
    config = datasets.configuration(
        datasets.TRIPLET, epochs=1, loss__name=f"{written(tmp_path, text)}:f"
    )
    assert "val_loss" in train_here(config, triplet_data, tmp_path / "run")["metrics"]["last"]


def test_a_resume_with_another_source_says_so_or_is_refused(class_data, tmp_path, train_here, mine):
    config = configuration(loss__name=f"{mine}/loss.py:brier")
    train_here(config, class_data, tmp_path / "run")
    (mine / "helper.py").write_text(own_code.HELPER + "\n# changed\n")
    config = configuration(loss__name=f"{mine}/loss.py:brier", epochs=2)
    with pytest.raises(ConfigError, match=r"--strict: your own code has changed.*helper\.py"):
        train(config, class_data, str(tmp_path / "run"), lambda _: None, strict=True)
    said = train_here(config, class_data, tmp_path / "run")["said"]
    assert any("loss.name (helper.py); the run continues with it" in line for line in said)
    said = train_here(config, class_data, tmp_path / "run")["said"]
    assert not any("has changed" in line for line in said)


def test_what_config_json_says_of_the_source_may_be_anything():
    for before in (None, [], {"loss.name": 3}, {"loss.name": {"sha256": {}}}):
        check_same_code(before, {}, pytest.fail, strict=True)


def test_workers_with_other_sources_are_told():
    class Differing:
        rank = 1

        def same(self, number):
            return number % 2 == 0

    def record(text):
        return {"reference": "a.py:f", "sha256": text}

    now = {f"metrics.{number}": record(str(number)) for number in range(6)}
    said = []
    check_workers_code(now, Differing(), said.append, strict=False)
    (line,) = said
    assert "the workers do not have the same source of metrics." in line
    with pytest.raises(ConfigError, match="--strict: the workers do not have"):
        check_workers_code(now, Differing(), pytest.fail, strict=True)


def test_a_run_with_own_code_is_evaluated_by_who_trained_it_or_trusts_it(
    class_data, tmp_path, train_here, mine
):
    reference = f"{mine}/loss.py:brier"
    train_here(configuration(loss__name=reference), class_data, tmp_path / "run")
    flags = [f"--workdir={tmp_path / 'run'}", f"--data={class_data}"]
    refused = datasets.command("trainer", "evaluate", *flags)
    assert refused.returncode == 64
    assert f"add --trust={reference}" in refused.stderr
    done = datasets.command("trainer", "evaluate", *flags, f"--trust={reference}", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["loss"] > 0
    assert open_run(str(tmp_path / "run"), "last", lambda _: None, [reference]).step == 3
