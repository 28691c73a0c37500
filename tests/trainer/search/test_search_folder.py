"""A search folder of a stranger's: its runs and files are data, whatever they claim."""

import json
import os
import sys

import pytest

from preprocess.shell.errors import DataError, UsageError
from tests.trainer.search.test_search_worker import (
    GRID,
    OF_NAMES,
    by_scale,
    quiet,
    request_of,
    study_of,
    trained,
)
from trainer.config.files import run_config_file
from trainer.search import worker
from trainer.search.claims import Claims, Owner, owner
from trainer.search.search_run import RUNNING, Run
from trainer.search.study import JOURNAL
from trainer.search.trial import Outcome, train_run
from trainer.search.worker import search

__all__ = ["request_of"]  # a fixture


@pytest.mark.parametrize(
    "params",
    [
        {"model.backbone": "hub:https://far.invalid/m"},
        {"model.backbone": "hub:https://far.invalid/m", "model.scale": 1, "optimizer.name": "sgd"},
        {"model.scale": 7, "optimizer.name": "sgd"},
        {"model.scale": 1, "optimizer.name": "hub:x"},
        {"model.scale": [], "optimizer.name": "sgd"},
    ],
)
def test_runs_of_a_journal_have_the_keys_and_values_of_the_space_or_end_it(
    request_of, monkeypatch, params
):
    request = request_of(OF_NAMES)
    seen = trained(monkeypatch, by_scale)
    study_of(request).add([(params, 0)])
    with pytest.raises((DataError, ValueError)):
        search(request, quiet)
    assert not seen


@pytest.mark.parametrize(
    "line",
    ["[]", "{}", "5", '{"op_code": 4}', '{"op_code": 999, "worker_id": "a"}', "[" * 100_000,
     '{"op_code": 0, "worker_id": 1, "study_name": [], "directions": "x"}', "\xff"],
)  # fmt: skip
def test_a_journal_that_holds_something_else_is_bad_data(request_of, line):
    request = request_of(GRID)
    request.folder.mkdir()
    (request.folder / JOURNAL).write_text(f"{line}\n", encoding="latin-1")
    with pytest.raises(DataError, match="cannot be read"):
        search(request, quiet)


@pytest.mark.parametrize("name", ["logs/000.log", "trials", "claims/000.json", "config.py"])
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_search_writes_through_no_link_and_waits_at_no_pipe(request_of, tmp_path, name, kind):
    request = request_of(GRID)
    study_of(request)
    (tmp_path / "precious").write_text("precious")
    place = request.folder / name
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(tmp_path / "precious") if kind == "link" else os.mkfifo(place)
    with pytest.raises(UsageError, match="is a link that leads out of it, a pipe or a device"):
        search(request, quiet)
    assert (tmp_path / "precious").read_text() == "precious"


def test_what_lies_in_the_folder_is_imported_by_no_run(request_of, monkeypatch):
    """A run's configuration is a file of Python, which imports its neighbours."""
    configs = []

    def train(flags, *_):
        path = flags[1].removeprefix("--config=")
        assert run_config_file(path)["batch_size"] == request.config.batch_size
        configs.append(path)
        return Outcome(0.5, seconds=1.0)

    monkeypatch.setattr(worker, "train_run", train)
    request = request_of(GRID, limit=1)
    search(request, quiet)
    (path,) = configs
    assert not path.startswith(str(request.folder))
    assert not os.path.exists(path)
    assert (request.folder / "config.py").exists()  # to be read


@pytest.mark.parametrize(
    "report",
    ["[]", "{}", '{"metrics": {"last": []}, "seconds": 1}', "[" * 100_000,
     '{"metrics": {"last": {"loss": "x"}}, "seconds": 1}',
     '{"metrics": {"last": {"loss": 1, "loss_interval": "ab"}}, "seconds": 1}',
     '{"metrics": {"last": {"loss": 1}}, "seconds": null}'],
)  # fmt: skip
def test_a_report_that_is_none_is_bad_data(tmp_path, report):
    (tmp_path / "report.json").write_text(report)
    with pytest.raises(DataError, match=r"report\.json"):
        train_run([], tmp_path, tmp_path / "log", "loss", str)


@pytest.mark.parametrize("fields", [[], {"place": 1}, {"place": [], "pid": "../1", "started": {}}])
def test_a_claim_of_nobody_is_none(tmp_path, fields):
    claims, run = Claims(tmp_path, owner(os.getpid())), Run(0, {}, 0, RUNNING)
    (tmp_path / "000.json").write_text(json.dumps(fields))
    assert claims.is_free(run)
    (tmp_path / "000.json").unlink()
    os.mkfifo(tmp_path / "000.json")
    assert claims.is_free(run)
    os.unlink(tmp_path / "000.json")
    Claims(tmp_path, Owner("far", 1, sys.maxsize)).take(run)
    assert not claims.is_free(run)
