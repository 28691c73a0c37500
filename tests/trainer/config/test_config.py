"""The configuration: keys and values refused, files loaded, flags taken, restarts compared."""

import json
import os
import sys
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess.shell.errors import ConfigError, UsageError
from trainer.config import (
    RESTART_MAY_CHANGE,
    Config,
    check_config,
    defaults,
    differences,
    from_dict,
    load_config,
    parse_config_flags,
    to_dict,
    with_values,
)
from trainer.config.keys import KEYS, get

CONTRACT = """
task seed deterministic epochs steps_per_epoch validation_steps batch_size image_size
virtual_replicas precision jit_compile steps_per_execution model.backbone model.weights
model.embedding_size model.scale model.dropout model.trainable loss.delta optimizer.name
optimizer.learning_rate optimizer.final_learning_rate optimizer.schedule augment.enabled
augment.resize_to data.train_split data.validation_splits data.variants data.image_table
data.service checkpoint.every_steps checkpoint.keep checkpoint.best_metric
early_stopping.patience reduce_on_plateau.patience profile.steps tensorboard.histograms
"""


def refusal(*overrides: tuple[str, str], preset: str = "demo") -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(preset, list(overrides))
    assert caught.value.exit_code == os.EX_CONFIG
    message = str(caught.value)
    assert message.count("\n") <= 1
    return message


def config_file(tmp_path, text: str) -> str:
    path = tmp_path / "mine.py"
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return str(path)


def test_the_defaults_pass_their_own_checks():
    check_config(Config())


def test_every_key_of_the_contract_exists():
    assert not set(CONTRACT.split()) - set(KEYS)


def test_the_defaults_are_locked_and_typed():
    config = defaults()
    with pytest.raises(AttributeError):
        config.no_such_key = 1
    with pytest.raises(AttributeError):
        config.model.no_such_key = 1
    with pytest.raises(TypeError):
        config.epochs = "three"


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("epochs", "3", 3),
        ("model.scale", "2", 2.0),
        ("optimizer.learning_rate", "5e-4", 5e-4),
        ("deterministic", "true", True),
        ("augment.enabled", "0", False),
        ("model.backbone", "keras:MobileNetV2", "keras:MobileNetV2"),
        ("data.validation_splits", "test,hard", ("test", "hard")),
        ("data.validation_splits", "('test', 'hard')", ("test", "hard")),
        ("profile.steps", "5,15", (5, 15)),
        ("profile.steps", "", ()),
        ("optimizer.args", "{'beta_1': 0.8}", {"beta_1": 0.8}),
    ],
)
def test_an_override_is_read_as_its_keys_type(key, text, value):
    got = get(load_config("demo", [(key, text)]), key)
    assert got == value
    assert type(got) is type(value)


def test_arguments_of_an_optimizer_are_added_one_by_one_and_the_later_wins():
    config = load_config(
        "demo",
        [
            ("optimizer.args.beta_1", "0.8"),
            ("optimizer.args.amsgrad", "True"),
            ("optimizer.args.beta_1", "0.7"),
        ],
    )
    assert config.optimizer.args == {"beta_1": 0.7, "amsgrad": True}


def test_an_unknown_key_names_the_near_ones_and_its_section():
    message = refusal(("optimizer.lerning_rate", "1"))
    assert "optimizer.lerning_rate" in message
    assert "did you mean optimizer.learning_rate" in message
    assert "final_learning_rate" in message


def test_a_key_in_the_wrong_section_is_found():
    assert "did you mean loss.delta" in refusal(("model.delta", "1"))


def test_a_key_like_no_other_lists_the_keys():
    message = refusal(("xyzzy", "1"))
    assert "did you mean" not in message
    assert "batch_size" in message
    assert "optimizer.*" in message


def test_a_section_is_not_a_key():
    message = refusal(("optimizer", "adam"))
    assert "section" in message
    assert "learning_rate" in message


@pytest.mark.parametrize(
    ("key", "text", "allowed"),
    [
        ("task", "ranking", "'triplet', 'classification'"),
        ("epochs", "0", "at least 1"),
        ("epochs", "many", "an integer"),
        ("epochs", "2.5", "an integer"),
        ("seed", "-1", "at least 0"),
        ("batch_size", "-32", "at least 1"),
        ("image_size", "0", "at least 8"),
        ("steps_per_epoch", "-1", "at least 0"),
        ("deterministic", "maybe", "true or false"),
        ("precision", "float16", "'float32', 'mixed_bfloat16', 'mixed_float16'"),
        ("model.dropout", "1", "below 1"),
        ("model.scale", "0", "above 0"),
        ("model.scale", "nan", "finite"),
        ("loss.delta", "inf", "finite"),
        ("distribute.all_reduce", "tree", "'auto', 'nccl'"),
        ("optimizer.learning_rate", "0", "above 0"),
        ("optimizer.learning_rate", "nan", "finite"),
        ("optimizer.final_learning_rate", "-0.1", "above 0"),
        ("optimizer.args", "3", "a mapping"),
        ("augment.cutout_implementation", "keras", "'vectorised', 'addons'"),
        ("augment.rotation", "0.6", "at most 0.5"),
        ("data.image_table", "none", "'auto', 'decoded', 'encoded'"),
        ("profile.steps", "early", "a list of integers"),
    ],
)
def test_a_bad_value_is_refused_with_key_received_and_allowed(key, text, allowed):
    message = refusal((key, text))
    assert message.startswith(f"{key}: received")
    assert text.strip("{}") in message
    assert allowed in message


@pytest.mark.parametrize("text", ["1e999", "[1.0, 1e999]", "{1, 2}", "{'a': 1}"])
def test_a_free_argument_holds_what_json_can_and_nothing_infinite(text):
    message = refusal(("optimizer.args.clipnorm", text))
    assert message.startswith("optimizer.args: received {'clipnorm': ")
    assert "plain values" in message


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"jit_compile": "true"}, ["jit_compile", "virtual_replicas 2", "2.15.1"]),
        ({"batch_size": "33"}, ["batch_size 33", "virtual_replicas 2", "32 or 34"]),
        ({"batch_size": "1"}, ["batch_size 1", "take 2"]),
        (
            {"steps_per_epoch": "5", "steps_per_execution": "10"},
            ["steps_per_execution 10", "steps_per_epoch 5"],
        ),
        ({"model.backbone": "resnet"}, ["resnet", "keras:NAME"]),
        ({"model.backbone": "keras:"}, ["model.backbone", "keras:NAME"]),
        ({"model.weights": "imagenet"}, ["imagenet", "cnn"]),
        ({"model.channels": "2"}, ["model.channels", "received 2"]),
        (
            {"model.pixel_range": "caffe", "model.channels": "1"},
            ["model.pixel_range caffe", "model.channels is 1"],
        ),
        ({"optimizer.name": ""}, ["optimizer.name", "adabound"]),
        ({"optimizer.schedule_args": "{'alpha': 0.1}"}, ["alpha", "CosineDecay"]),
        (
            {"optimizer.schedule": "CosineDecay", "reduce_on_plateau.patience": "2"},
            ["reduce_on_plateau.patience 2", "CosineDecay"],
        ),
        (
            {"optimizer.warmup_steps": "9", "reduce_on_plateau.patience": "2"},
            ["reduce_on_plateau.patience 2", "optimizer.warmup_steps 9", "keep one"],
        ),
        (
            {"optimizer.clip_norm": "1", "optimizer.clip_value": "2"},
            ["optimizer.clip_norm 1", "optimizer.clip_value 2", "keep one"],
        ),
        (
            {"optimizer.weight_decay": "0.1", "optimizer.args.weight_decay": "0.2"},
            ["optimizer.weight_decay 0.1", "optimizer.args.weight_decay", "keep one"],
        ),
        (
            {"optimizer.ema_momentum": "0.9", "optimizer.args.use_ema": "True"},
            ["optimizer.ema_momentum 0.9", "optimizer.args.use_ema", "keep one"],
        ),
        (
            {"model.head_initializer_args": "{'stddev': 0.1}"},
            ["model.head_initializer_args", "stddev", "RandomNormal"],
        ),
        ({"augment.crop": "80"}, ["augment.crop 80", "augment.resize_to 72"]),
        ({"augment.cutout": "65"}, ["augment.cutout 65", "64"]),
        ({"loss.name": "triplett"}, ["triplett", "did you mean 'triplet'?", "cross_entropy"]),
        ({"loss.name": "cross_entropy"}, ["loss.name=cross_entropy", "task=classification"]),
        ({"data.validation_splits": "test,../up"}, ["data.validation_splits", "'../up'"]),
        ({"data.validation_splits": "test,test"}, ["test, test", "once"]),
        ({"data.train_split": ""}, ["data.train_split", "''"]),
        ({"checkpoint.best_metric": "val_accuracy"}, ["val_accuracy", "val_triplet_accuracy"]),
        ({"data.validation_splits": ""}, ["val_triplet_accuracy", "loss"]),
        (
            {"validation.every_epochs": "2", "validation.every_steps": "500"},
            ["validation.every_epochs 2", "validation.every_steps 500", "keep one"],
        ),
        (
            {
                "validation.every_steps": "500",
                "data.validation_splits": "",
                "checkpoint.best_metric": "loss",
            },
            ["validation.every_steps 500", "data.validation_splits", "leave out"],
        ),
        ({"profile.steps": "10"}, ["profile.steps", "(10,)", "first and the last"]),
        ({"profile.steps": "20,10"}, ["profile.steps", "(20, 10)"]),
        ({"profile.steps": "0,10"}, ["profile.steps", "counted from 1"]),
        ({"profile.steps": "10,13"}, ["profile.steps 10,13", "5 steps"]),
        ({"profile.steps": "10,58", "steps_per_execution": "10"}, ["50 steps"]),
    ],
)
def test_values_that_do_not_go_together_are_refused_with_the_reason(overrides, words):
    message = refusal(*overrides.items())
    for word in words:
        assert word in message


def test_xla_goes_with_one_virtual_replica():
    load_config("demo", [("jit_compile", "true"), ("virtual_replicas", "1")])


def test_the_default_trace_goes_with_any_number_of_steps_a_call():
    """It counts calls."""
    load_config("demo", [("steps_per_execution", "10")])


def test_a_trace_of_exactly_the_least_length_is_taken():
    """5 calls are the least; steps 10 to 14 are five."""
    load_config("demo", [("profile.steps", "10,14")])


def test_further_splits_have_metrics_of_their_own():
    load_config(
        "demo",
        [
            ("data.validation_splits", "test,hard"),
            ("checkpoint.best_metric", "val_hard_triplet_accuracy"),
        ],
    )


def test_a_value_set_past_the_loader_is_still_checked():
    """A section takes whatever it is given; check_config() does not."""
    config = with_values(Config(), {"model.scale": float("inf")})
    with pytest.raises(ConfigError, match=r"model.scale: received inf"):
        check_config(config)


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


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--config=demo"], ([], "demo", [])),
        (["--config", "demo"], ([], "demo", [])),
        (["-config", "demo"], ([], "demo", [])),
        (["--config.epochs=3"], ([], None, [("epochs", "3")])),
        (["--config.model.scale", "2", "x"], (["x"], None, [("model.scale", "2")])),
        (["--config.model.weights="], ([], None, [("model.weights", "")])),
        (["--config.deterministic"], ([], None, [("deterministic", "true")])),
        (["--config.deterministic", "left"], (["left"], None, [("deterministic", "true")])),
        (["--config.deterministic", "false"], ([], None, [("deterministic", "false")])),
        (["--config.deterministic=false"], ([], None, [("deterministic", "false")])),
        (["--config.a=b=c"], ([], None, [("a", "b=c")])),
        (["--configuration=1"], (["--configuration=1"], None, [])),
        (["a", "--", "--config=x"], (["a", "--", "--config=x"], None, [])),
    ],
)
def test_flags_are_taken_out_of_a_command_line(words, expected):
    assert parse_config_flags(words) == expected


@pytest.mark.parametrize(
    "words", [["--config"], ["--config.epochs"], ["--config.epochs", "--json"]]
)
def test_a_flag_without_its_value_is_bad_usage(words):
    with pytest.raises(UsageError, match="=VALUE"):
        parse_config_flags(words)


def test_two_configs_are_bad_usage():
    with pytest.raises(UsageError, match="a and b"):
        parse_config_flags(["--config=a", "--config=b"])


@given(st.lists(st.from_regex(r"(--?)?[a-bd-z][a-z=.]*", fullmatch=True)))
def test_words_that_are_not_ours_pass_untouched(words):
    assert parse_config_flags(["prog", *words]) == (["prog", *words], None, [])


def test_a_configuration_survives_json():
    config = load_config(
        "image_folder",
        [
            ("profile.steps", "5,15"),
            ("optimizer.schedule", "PiecewiseConstantDecay"),
            ("optimizer.schedule_args", "{'boundaries': [10, 20], 'values': [1.0, 0.1, 0.01]}"),
        ],
    )
    stored = json.loads(json.dumps(to_dict(config)))
    assert stored == to_dict(config)
    assert from_dict(stored) == config


def test_a_stored_configuration_with_an_unknown_key_is_refused():
    with pytest.raises(ConfigError, match="no_such_key"):
        from_dict({"model": {"no_such_key": 1}})


CHANGES = {
    "epochs": 40,
    "checkpoint.keep": 3,
    "checkpoint.every_steps": 50,
    "profile.steps": [],
    "tensorboard.histograms": False,
    "batch_size": 16,
    "seed": 1,
    "model.dropout": 0.25,
    "optimizer.args": {"beta_1": 0.5},
    "data.validation_splits": ["other"],
    "steps_per_epoch": 7,
}


@pytest.mark.parametrize("key", CHANGES)
def test_a_restart_may_change_what_only_reports_and_nothing_else(key):
    old = to_dict(load_config("demo"))
    new = json.loads(json.dumps(old))
    section, _, leaf = key.rpartition(".")
    (new[section] if section else new)[leaf] = CHANGES[key]
    told = differences(old, new)
    free = key in RESTART_MAY_CHANGE or key.split(".")[0] + "." in RESTART_MAY_CHANGE
    assert len(told) == (0 if free else 1)
    assert all(line.startswith(f"{key} (") and "->" in line for line in told)


@pytest.mark.parametrize("patience", [0, 2])
def test_a_restart_may_change_when_to_validate_unless_the_rate_is_cut_by_it(patience):
    old = to_dict(load_config("demo", [("reduce_on_plateau.patience", str(patience))]))
    new = json.loads(json.dumps(old))
    new["validation"]["every_epochs"] = 3
    told = ["validation.every_epochs (1 -> 3)"] if patience else []
    assert differences(old, new) == told


def test_a_longer_name_is_not_taken_for_epochs():
    """steps_per_epoch and early stopping change what is trained; only `epochs` may grow."""
    assert "epochs" in RESTART_MAY_CHANGE
    assert not any(name.startswith("steps") for name in RESTART_MAY_CHANGE)


@pytest.mark.parametrize("name", ["profile.port", "profile.host"])
def test_a_key_that_is_gone_and_does_not_matter_is_accepted_with_a_note(name, capsys, tmp_path):
    """On the command line and in a file; of a run that was trained with it, without a word."""
    section, leaf = name.split(".")
    assert load_config("demo", [(name, "6010")]) == load_config("demo")
    assert f"{name} is ignored: `trainer capture RUN` needs no" in capsys.readouterr().err
    file = tmp_path / "config.py"
    file.write_text(f"def get_config():\n    return {{{section!r}: {{{leaf!r}: 6010}}}}\n")
    load_config(str(file))
    assert f"{name} is ignored" in capsys.readouterr().err
    stored = to_dict(load_config("demo"))
    stored[section][leaf] = 6010
    assert from_dict(stored) == load_config("demo")
    assert not capsys.readouterr().err


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


def test_weights_of_classes_are_a_word_or_a_mapping_in_a_file_and_on_the_command_line(tmp_path):
    file = tmp_path / "weights.py"
    file.write_text(
        "from trainer.config import defaults\n\ndef get_config():\n"
        "    config = defaults()\n    config.task = 'classification'\n"
        "    config.loss.class_weights = {'a b': 2.0}\n    return config\n"
    )
    key = "loss.class_weights"
    assert load_config(str(file)).loss.class_weights == {"a b": 2.0}
    assert load_config(str(file), [(key, "balanced")]).loss.class_weights == "balanced"
    changed = load_config(str(file), [(key, "balanced"), (f"{key}.c.d", "3")])
    assert changed.loss.class_weights == {"c.d": 3}
    assert from_dict(to_dict(changed)) == changed
    file.write_text(file.read_text().replace("{'a b': 2.0}", "'balanced'"))
    assert load_config(str(file)).loss.class_weights == "balanced"
