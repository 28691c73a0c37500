"""A run directory of a stranger's does not decide which graphs are loaded."""

import json
import os
import shutil

import pytest

from preprocess.shell.errors import ConfigError, UsageError
from tests.trainer import own_code
from trainer.config import Config, load_config, with_values
from trainer.config.trust import check_trusted, foreign_code, remember
from trainer.inference.trained_run import open_run

HUB = "hub:https://example.invalid/module"


def trained(**changes):
    """Notes a configuration as one that its user has trained."""
    remember(with_values(Config(), {key.replace("__", "."): v for key, v in changes.items()}))


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("SHARDLINE_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


def write_run(path, **config):
    """A run directory as a stranger may send it."""
    path.mkdir()
    record = {
        "config": {"task": "triplet", **config},
        "dataset": {"task": "triplet", "classes": [], "digest": "0" * 64},
    }
    (path / "config.json").write_text(json.dumps(record))
    return str(path)


def test_networks_of_our_own_code_need_no_trust():
    for backbone in ("cnn", "mlp", "keras:MobileNetV2"):
        assert foreign_code(with_values(Config(), {"model.backbone": backbone})) == {}


def test_a_hub_module_is_loaded_when_it_is_named_or_was_trained_with(state):
    with pytest.raises(UsageError, match=f"add --trust={HUB}"):
        check_trusted(HUB, "run", ["hub:another"])
    check_trusted(HUB, "run", [HUB])
    trained(model__backbone=HUB)
    check_trusted(HUB, "run", ())
    assert os.stat(state / "trusted").st_mode & 0o077 == 0
    trained(model__backbone="hub:another")
    for known in (HUB, "hub:another"):
        check_trusted(known, "run", ())


def test_notes_that_are_damaged_or_cannot_be_written_only_cost_the_convenience(state):
    trained(model__backbone=HUB)
    (note,) = (state / "trusted").iterdir()
    for text in ("[", "[5]", '{"handle": 5}', '{"handle": "hub:another"}'):
        note.write_text(text)
        with pytest.raises(UsageError):
            check_trusted(HUB, "run", ())
    shutil.rmtree(state)
    state.write_text("a file in its place")
    trained(model__backbone=HUB)
    assert state.read_text() == "a file in its place"


def test_a_run_that_names_a_module_is_refused_before_anything_is_asked(tmp_path):
    run = write_run(tmp_path / "run", model={"backbone": HUB, "weights": ""})
    with pytest.raises(UsageError, match="a graph that runs as code"):
        open_run(run, "last", lambda _: None)


def test_halves_of_a_character_are_refused_like_other_handles():
    with pytest.raises(UsageError, match=r"hub:\\ud800"):
        check_trusted("hub:\ud800", "run", ())


CODE = "RECORDS = 'triplet'\nraise SystemExit('this file was run')\n"


@pytest.mark.parametrize("kind", own_code.KEYS)
def test_code_that_only_a_run_directory_names_is_never_run(tmp_path, kind):
    """Nor what its config.json names as a module, or where it is given as --config."""
    file = own_code.write(tmp_path / "theirs", code=CODE) / "code.py"
    config = own_code.nested(kind, f"{file}:f")
    run = write_run(tmp_path / "run", **config)
    if kind not in own_code.OF_TRAINING:
        with pytest.raises(
            UsageError, match=f"asks for {file}:f, Python code.*add --trust={file}:f"
        ):
            open_run(run, "last", lambda _: None)
        with pytest.raises(ConfigError, match="SystemExit: this file was run"):
            open_run(run, "last", lambda _: None, [f"{file}:f"])
    with pytest.raises(UsageError, match=f"add --config.{kind}={file}:f"):
        load_config(run)
    mine = write_run(tmp_path / "other", **own_code.nested(kind, "os:system"))
    with pytest.raises(UsageError, match="asks for os:system"):
        load_config(mine)


def test_the_loss_of_a_part_is_vouched_for_by_its_own_flag(tmp_path):
    """Which is the one that is asked for; that of another part does not count."""
    file = own_code.write(tmp_path / "theirs", code=CODE) / "code.py"
    names = {"class": f"{file}:f", "numbers": "huber"}
    config = {**own_code.CNN, "task": "class_and_numbers", "loss": {"names": names}}
    run = write_run(tmp_path / "run", **config)
    flag = ("loss.names.class", f"{file}:f")
    for overrides in ([], [("loss.names.numbers", "")]):
        with pytest.raises(UsageError, match=f"add --config.{'='.join(flag)}$"):
            load_config(run, overrides)
    assert load_config(run, [flag]).loss.names == names
    with pytest.raises(ConfigError, match=r"^loss\.names\.class=\S+none\.py:f: no such file"):
        load_config(run, [("loss.names.class", f"{tmp_path}/none.py:f")])


@pytest.mark.parametrize("kind", [k for k in own_code.KEYS if k not in own_code.OF_TRAINING])
def test_a_file_that_was_elsewhere_in_training_is_named_where_it_is_here(tmp_path, kind):
    """As after a training in pods, which have the user's files in a folder of their own."""
    run = write_run(tmp_path / "run", **own_code.nested(kind, "/own/mine/code.py:f"))
    with pytest.raises(UsageError, match=r"not on this machine.*add --trust=FOLDER/code.py:f$"):
        open_run(run, "last", lambda _: None)
    file = own_code.write(tmp_path / "here", code=CODE, other=CODE) / "code.py"
    for unlike in (f"{file}:g", f"{file.parent}/other.py:f"):
        with pytest.raises(UsageError, match="not on this machine"):
            open_run(run, "last", lambda _: None, [unlike])
    with pytest.raises(ConfigError, match="SystemExit: this file was run"):
        open_run(run, "last", lambda _: None, [f"{file}:f"])


def test_code_that_was_trained_with_is_trusted_until_its_file_changes(tmp_path, monkeypatch):
    file = own_code.write(tmp_path / "mine", loss=own_code.LOSS, helper="") / "loss.py"
    reference = f"{file}:brier"
    trained(loss__name=reference)
    check_trusted(reference, "run", ())
    (tmp_path / "mine" / "helper.py").write_text("X = 1\n")
    with pytest.raises(UsageError, match="has used it as it is now"):
        check_trusted(reference, "run", ())
    monkeypatch.chdir(tmp_path)
    check_trusted(reference, "run", ["mine/loss.py:brier"])
