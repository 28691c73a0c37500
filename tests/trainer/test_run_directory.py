"""The small files of a run directory."""

import json

import pytest

from trainer.errors import ConfigError, DataError, UsageError
from trainer.run_directory import RunDirectory, versions, write_text


@pytest.fixture
def run(tmp_path):
    directory = RunDirectory(str(tmp_path / "run"))
    directory.make()
    directory.write_config({"config": {}, "dataset": {"digest": "a" * 64}})
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


@pytest.mark.parametrize("text", ["{", "[]", "{}", '"text"'])
def test_a_config_that_is_not_ours_is_refused_by_name(run, text):
    run.config_file.write_text(text)
    with pytest.raises(DataError, match=r"config\.json"):
        run.read_config()


def test_a_file_is_replaced_as_a_whole(tmp_path):
    write_text(tmp_path / "a", "one")
    write_text(tmp_path / "a", "two")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "two"


def test_versions_name_the_packages_that_matter():
    found = versions()
    assert found["tensorflow"] == "2.15.1"
    assert {"python", "tensorflow-addons", "git"} <= found.keys()


def test_an_address_is_no_run_directory(tmp_path, monkeypatch):
    """It would be made as folders of this machine, which nobody would look for."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="a run directory is a folder"):
        RunDirectory("gs://bucket/run").make()
    assert list(tmp_path.iterdir()) == []
