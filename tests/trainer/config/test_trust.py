"""A run directory of a stranger's does not decide which graphs are loaded."""

import json
import os
import shutil

import pytest

from preprocess.shell.errors import UsageError
from trainer.config import load_config
from trainer.config.trust import check_service, check_trusted, remember
from trainer.inference.trained_run import open_run

HUB = "hub:https://example.invalid/module"


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("SHARDLINE_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


def test_networks_of_our_own_code_need_no_trust():
    for backbone in ("cnn", "mlp", "keras:MobileNetV2"):
        check_trusted(backbone, "run", ())


def test_a_hub_module_is_loaded_when_it_is_named_or_was_trained_with(state):
    with pytest.raises(UsageError, match=f"add --trust={HUB}"):
        check_trusted(HUB, "run", ["hub:another"])
    check_trusted(HUB, "run", [HUB])
    remember(HUB)
    check_trusted(HUB, "run", ())
    assert os.stat(state / "trusted").st_mode & 0o077 == 0
    remember("hub:another")
    for known in (HUB, "hub:another"):
        check_trusted(known, "run", ())


def test_notes_that_are_damaged_or_cannot_be_written_only_cost_the_convenience(state):
    remember(HUB)
    (note,) = (state / "trusted").iterdir()
    for text in ("[", "[5]", '{"handle": 5}', '{"handle": "hub:another"}'):
        note.write_text(text)
        with pytest.raises(UsageError):
            check_trusted(HUB, "run", ())
    shutil.rmtree(state)
    state.write_text("a file in its place")
    remember(HUB)
    assert state.read_text() == "a file in its place"


def test_a_run_that_names_a_module_is_refused_before_anything_is_asked(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    record = {
        "config": {"task": "triplet", "model": {"backbone": HUB, "weights": ""}},
        "dataset": {"task": "triplet", "classes": [], "digest": "0" * 64},
    }
    (run / "config.json").write_text(json.dumps(record))
    with pytest.raises(UsageError, match="a graph that runs as code"):
        open_run(str(run), "last", lambda _: None)


def test_a_service_that_a_run_names_is_asked_where_this_user_has_trained_with_it(state):
    check_service("", "run")
    with pytest.raises(UsageError, match=r"give --config\.data\.service=grpc://far:5000, or"):
        check_service("grpc://far:5000", "run")
    remember("cnn", "grpc://far:5000")
    check_service("grpc://far:5000", "run")
    with pytest.raises(UsageError):  # an address is no handle
        check_trusted("hub:grpc://far:5000", "run", ())


def test_a_configuration_of_a_run_does_not_say_whom_to_connect_to(tmp_path):
    record = {
        "config": {
            "task": "classification",
            "model": {"backbone": "cnn", "weights": ""},
            "data": {"service": "grpc://far:5000"},
        }
    }
    (tmp_path / "config.json").write_text(json.dumps(record))
    with pytest.raises(UsageError, match=r"asks the tf\.data service at grpc://far:5000"):
        load_config(str(tmp_path))
    for own in ("grpc://near:5000", ""):
        assert load_config(str(tmp_path), [("data.service", own)]).data.service == own


def test_halves_of_a_character_are_refused_like_other_handles():
    with pytest.raises(UsageError, match=r"hub:\\ud800"):
        check_trusted("hub:\ud800", "run", ())
