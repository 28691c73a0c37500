"""Configurations from files: in Python, of an earlier run, and the paths that they hold."""

import json
import sys

import pytest

from preprocess.shell.errors import UsageError
from tests.trainer.config.test_config import config_file, refusal
from trainer.config import (
    Config,
    differences,
    load_config,
    to_dict,
    with_values,
)
from trainer.config.keys import KEYS


def test_a_file_may_set_some_keys_as_a_plain_dict(tmp_path):
    path = config_file(
        tmp_path, "def get_config():\n    return {'epochs': 2, 'model': {'backbone': 'cnn'}}"
    )
    config = load_config(path)
    assert (config.epochs, config.model.backbone) == (2, "cnn")
    assert config.batch_size == KEYS["batch_size"].default


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("epochs = 3", ["no get_config"]),
        ("def get_config():\n    return 1 / 0", ["ZeroDivisionError", "line 2"]),
        ("def get_config(:", ["SyntaxError", "line 1"]),
        ("import no_such_module_at_all", ["ModuleNotFoundError", "no_such_module_at_all"]),
        ("def get_config():\n    return 3", ["returned int", "defaults()"]),
        ("def get_config():\n    return {'epoks': 3}", ["epoks", "did you mean epochs"]),
        ("def get_config():\n    return {'epochs': 3.5}", ["epochs: received 3.5"]),
        (
            """
            from trainer.config import defaults
            def get_config():
                config = defaults()
                config.optimizer.learn_rate = 1e-3
                return config
            """,
            ["line 5", "learn_rate", "optimizer.learning_rate"],
        ),
        (
            """
            from trainer.config import defaults
            def get_config():
                config = defaults()
                config.epochs = 'many'
                return config
            """,
            ["line 5", "epochs"],
        ),
    ],
)
def test_a_file_that_fails_is_told_in_a_line(tmp_path, text, words):
    path = config_file(tmp_path, text)
    message = refusal(preset=path)
    for word in [path if "received" not in words[0] else "", *words]:
        assert word in message


def test_a_missing_file_names_the_presets():
    message = refusal(preset="trainer/configs/mnist_mpl.py")
    assert "no such file" in message
    assert "did you mean 'mnist_mlp'" in message
    assert "fec_triplet" in message


def test_a_file_imports_what_is_beside_it_from_wherever_it_is_started(tmp_path, monkeypatch):
    """Two folders have a neighbour of the same name; each file gets its own."""
    monkeypatch.chdir("/")
    for epochs in (3, 4):
        folder = tmp_path / str(epochs)
        folder.mkdir()
        (folder / "common_of_mine.py").write_text(f"EPOCHS = {epochs}\n")
        text = (
            "import common_of_mine\ndef get_config():\n    return {'epochs': common_of_mine.EPOCHS}"
        )
        assert load_config(config_file(folder, text)).epochs == epochs
    assert not [name for name in sys.path if name.startswith(str(tmp_path))]


def test_a_neighbour_may_be_imported_when_the_configuration_is_made(tmp_path):
    (tmp_path / "late_of_mine.py").write_text("EPOCHS = 5\n")
    text = "def get_config():\n    from late_of_mine import EPOCHS\n    return {'epochs': EPOCHS}"
    assert load_config(config_file(tmp_path, text)).epochs == 5


def recorded(tmp_path, **changes):
    """A run directory with the configuration that it was trained with."""
    config = with_values(Config(), {"model.backbone": "cnn", "epochs": 7, **changes})
    record = {"config": to_dict(config), "dataset": {}}
    (tmp_path / "config.json").write_text(json.dumps(record), encoding="utf-8")
    return config


@pytest.mark.parametrize("name", ["", "config.json"])
def test_an_earlier_run_is_a_configuration_too(tmp_path, name):
    config = recorded(tmp_path)
    assert load_config(str(tmp_path / name)) == config
    changed = load_config(str(tmp_path / name), [("epochs", "9")])
    assert changed == with_values(config, {"epochs": 9})


@pytest.mark.parametrize("text", ["[", "[]", '{"epochs": 3}', '{"config": 3}'])
def test_a_json_file_that_is_no_run_s_is_refused_in_a_line(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    assert str(tmp_path) in refusal(preset=str(tmp_path))


def test_a_folder_without_a_run_is_refused_as_such(tmp_path):
    assert "a folder without config.json" in refusal(preset=str(tmp_path))


def test_the_hub_module_of_a_stranger_s_run_has_to_be_named(tmp_path, monkeypatch):
    """A configuration in Python is code anyway; a run's is plain data, and stays that."""
    monkeypatch.setenv("SHARDLINE_STATE", str(tmp_path / "state"))
    handle = "hub:https://example.invalid/module"
    recorded(tmp_path, **{"model.backbone": handle})
    with pytest.raises(UsageError, match=f"add --config.model.backbone={handle}"):
        load_config(str(tmp_path))
    assert load_config(str(tmp_path), [("model.backbone", handle)]).model.backbone == handle


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("hub:module", "hub:{here}/module"),
        ("hub:../module", "hub:{above}/module"),
        ("hub:~/module", "hub:/home/me/module"),
        ("hub:/a/module", "hub:/a/module"),
        ("hub:gs://bucket/module", "hub:gs://bucket/module"),
        ("hub:https://host/module", "hub:https://host/module"),
        ("keras:MobileNetV2", "keras:MobileNetV2"),
    ],
)
def test_the_path_of_a_module_is_kept_absolute(tmp_path, monkeypatch, written, kept):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    config = load_config("demo", [("model.backbone", written)])
    assert config.model.backbone == kept.format(here=tmp_path, above=tmp_path.parent)
    # A run of before, which kept it as it was typed, goes on where it was started.
    before = to_dict(with_values(config, {"model.backbone": written}))
    assert differences(before, to_dict(config)) == []


def test_the_path_of_weights_is_kept_absolute_where_it_is_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "first.h5").touch()
    assert (
        load_config("demo", [("model.weights", "first.h5")]).model.weights == f"{tmp_path}/first.h5"
    )
    changes = [("model.backbone", "keras:MobileNetV2"), ("model.weights", "imagenet")]
    assert load_config("demo", changes).model.weights == "imagenet"


@pytest.mark.parametrize(
    "name", [n for n, key in KEYS.items() if type(key.default) in (int, float)]
)
def test_no_number_is_too_large_to_be_refused(name):
    """Every key has an upper end; 40 digits fit into no integer or float32, 5,000 into no float."""
    for value in ("9" * 40, "9" * 5000, "1e308"):
        message = refusal((name, value), preset="demo")
        assert f"{name}: received" in message and len(message) < 500


def test_an_integer_that_python_itself_does_not_write_is_refused(tmp_path):
    path = config_file(tmp_path, "def get_config():\n    return {'seed': 10 ** 5000}")
    assert "seed: received an integer of thousands of digits" in refusal(preset=path)
    path = config_file(tmp_path, "def get_config():\n    return {'model': {'scale': 10 ** 400}}")
    assert "model.scale: received 1000" in refusal(preset=path)
