"""The small files of a run directory."""

import json
import os
import re

import pytest

from preprocess.shell.errors import ConfigError, DataError, UsageError
from trainer.compat import addons
from trainer.training.run_directory import RunDirectory, versions


@pytest.fixture
def run(tmp_path):
    directory = RunDirectory(str(tmp_path / "run"))
    directory.make()
    dataset = {"task": "triplet", "classes": [], "digest": "a" * 64}
    directory.write_config({"config": {}, "dataset": dataset})
    return directory


def test_an_empty_folder_and_a_run_are_taken(tmp_path, run):
    (tmp_path / "empty").mkdir()
    RunDirectory(str(tmp_path / "empty")).make()
    run.make()


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="file"):
        RunDirectory(str(tmp_path / "file")).make()


def test_rows_of_a_lost_life_and_a_torn_line_are_dropped_from_the_file_too(run):
    for epoch in (1, 2, 3):
        run.append({"epoch": epoch, "loss": float("nan") if epoch == 1 else 0.5})
    with open(run.metrics_file, "a", encoding="utf-8") as file:
        file.write('{"epoch": 4, "lo')
    assert [row["epoch"] for row in run.history(2)] == [1, 2]
    lines = run.metrics_file.read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"epoch": 1, "loss": None},
        {"epoch": 2, "loss": 0.5},
    ]


def test_a_run_never_goes_on_with_other_data(run):
    run.check_same([], "a" * 64)
    with pytest.raises(ConfigError, match=r"dataset digest \(aaaaaaaaaaaa -> bbbbbbbbbbbb\)"):
        run.check_same([], "b" * 64)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '"text"',
        "[" * 100_000,
        '{"config": [1], "dataset": {}}',
        '{"config": {}, "dataset": null}',
        '{"config": {}, "dataset": {"task": "triplet", "digest": "", "classes": [1]}}',
        '{"config": {}, "dataset": {"task": ["triplet"], "digest": "", "classes": []}}',
    ],
)
def test_a_config_that_is_not_ours_is_refused_by_name(run, text):
    run.config_file.write_text(text)
    with pytest.raises(DataError, match=r"config\.json"):
        run.read_config()


def test_a_pipe_in_place_of_a_file_is_refused_and_not_waited_for(run):
    for file in (run.config_file, run.metrics_file):
        file.unlink(missing_ok=True)
        os.mkfifo(file)
    with pytest.raises(DataError, match="not a regular file"):
        run.read_config()
    with pytest.raises(DataError, match="not a regular file"):
        run.rows()


def test_rows_that_are_no_rows_are_refused_by_the_file(run):
    run.metrics_file.write_text('{"epoch": "one"}\n')
    with pytest.raises(DataError, match=r"metrics\.jsonl"):
        run.rows()


def test_versions_name_the_packages_that_matter():
    found = versions()
    assert re.fullmatch(r"2\.\d+\.\d+", found["tensorflow"])
    # None where it is not installed, as on the next stack.
    assert (found["tensorflow-addons"] is not None) == addons.installed()
    assert {"python", "git"} <= found.keys()


def test_an_address_is_no_run_directory(tmp_path, monkeypatch):
    """It would be made as folders of this machine, which nobody would look for."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="a run directory must be a local folder"):
        RunDirectory("gs://bucket/run").make()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "folder", "words"),
    [
        ("metrics.jsonl", True, "metrics.jsonl' is a folder"),
        ("plots", False, "plots' is not a folder"),
        ("checkpoints", False, "checkpoints' is not a folder"),
        ("tensorboard", False, "tensorboard' is not a folder"),
    ],
)
def test_what_cannot_be_written_is_found_at_the_start(tmp_path, name, folder, words):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / name).mkdir() if folder else (tmp_path / name).touch()
    with pytest.raises(UsageError) as caught:
        RunDirectory(str(tmp_path)).make()
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "name",
    ["logs", "logs/worker-0.log", "plots/history.png", "checkpoints/last", "model/variables",
     "tensorboard/train", "timeline/worker-0.now", "capture", "lock/000001", "metrics.jsonl"],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["link to a file", "link to a folder", "pipe"])
def test_a_training_writes_through_no_link_of_a_stranger_s(run, tmp_path, name, kind):
    elsewhere = tmp_path / "elsewhere"
    (run.path / name).parent.mkdir(exist_ok=True)
    if kind == "pipe":
        os.mkfifo(run.path / name)
    else:
        elsewhere.mkdir() if "folder" in kind else elsewhere.write_text("precious")
        (run.path / name).symlink_to(elsewhere)
    with pytest.raises(UsageError, match=re.escape(f"'{run.path / name}' is a link that leads")):
        run.make()


def test_what_a_training_does_not_write_may_be_a_link(run, tmp_path):
    (run.path / "data").symlink_to(tmp_path)
    (run.path / "logs").mkdir()
    (run.path / "logs" / "newest.log").symlink_to(run.path / "logs" / "worker-0.log")
    run.make()
