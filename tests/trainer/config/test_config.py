"""The configuration: keys and values refused, flags taken, restarts compared."""

import json
import os
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
checkpoint.every_steps checkpoint.keep checkpoint.best_metric early_stopping.patience
reduce_on_plateau.patience profile.steps tensorboard.histograms
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
        ({"jit_compile": "true"}, ["jit_compile", "virtual_replicas 2", "leave out one"]),
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


def test_a_run_whose_follower_has_ended_may_stop_waiting():
    old = to_dict(load_config("demo", [("data.variants", "live"), ("deterministic", "false")]))
    new = json.loads(json.dumps(old))
    new["data"]["on_late"] = "reuse"
    assert differences(old, new) == []


def test_a_longer_name_is_not_taken_for_epochs():
    """steps_per_epoch and early stopping change what is trained; only `epochs` may grow."""
    assert "epochs" in RESTART_MAY_CHANGE
    assert not any(name.startswith("steps") for name in RESTART_MAY_CHANGE)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("profile.port", 6010, "`trainer capture RUN` needs no port"),
        ("profile.host", "localhost", "`trainer capture RUN` needs no address"),
        ("data.service", "grpc://far:5050", "the training reads the same batches itself"),
        ("data.service", "", "the training reads the same batches itself"),
    ],
)
def test_a_key_that_is_gone_and_does_not_matter_is_accepted_with_a_note(
    name, value, reason, capsys, tmp_path
):
    """On the command line and in a file; of a run that was trained with it, without a word."""
    section, leaf = name.split(".")
    assert load_config("demo", [(name, str(value))]) == load_config("demo")
    assert f"{name} is ignored: {reason}" in capsys.readouterr().err
    file = tmp_path / "config.py"
    file.write_text(f"def get_config():\n    return {{{section!r}: {{{leaf!r}: {value!r}}}}}\n")
    load_config(str(file))
    assert f"{name} is ignored" in capsys.readouterr().err
    now = to_dict(load_config("demo"))
    stored = {**now, section: {**now[section], leaf: value}}
    assert from_dict(stored) == load_config("demo")
    assert differences(stored, now) == []
    (tmp_path / "config.json").write_text(json.dumps({"config": stored}))
    assert load_config(str(tmp_path)) == load_config("demo")
    assert not capsys.readouterr().err


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
