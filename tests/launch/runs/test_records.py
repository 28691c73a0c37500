"""What a run leaves about itself, and what is made of it: the same again, and what differs."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from pathlib import Path

import pytest

from launch import submit
from launch.runs.again import differences, replayed
from launch.runs.records import DIFF, RECORD, Record, names, read_record
from launch.spec import Mount, Secret
from preprocess.shell.errors import DataError, UsageError
from tests.launch.made import spec


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHARDLINE_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


def record(folder: Path, **changes: object) -> Record:
    made = spec(
        arguments=("--config=demo", "--workdir=runs/fec", "--config.seed=1"),
        env=(("A", "b=c"),),
        secrets=(Secret("tracker", "key", "TRACKER_KEY"),),
        mounts=(Mount("runs", "/runs"),),
        **changes,
    )
    return Record(
        spec=made,
        handle="job:shardline/fec",
        submitted=1.5,
        argv=("train", "--name=fec"),
        directory=str(folder),
        commit="c0ffee",
        versions={"python": "3.11.7"},
    )


def test_a_record_is_read_as_it_was_written_by_name_and_by_run_directory(tmp_path, state):
    made = record(tmp_path, backend="slurm")
    made.write({"batch.sh": "srun\n", DIFF: "- a\n+ b\n"})
    assert read_record("fec") == made
    assert read_record(str(tmp_path / "runs" / "fec")) == made
    for folder in (state / "fec", tmp_path / "runs" / "fec" / "launch"):
        assert sorted(p.name for p in folder.iterdir()) == ["batch.sh", RECORD, DIFF]
    assert names() == ["fec"]


@pytest.mark.parametrize("backend", ["job", "jobset"])
def test_the_run_directory_of_a_cluster_is_not_made_here(tmp_path, backend):
    made = record(tmp_path, backend=backend)
    made.write({"manifests.yaml": "kind: Job\n"})
    assert read_record("fec") == made
    assert not (tmp_path / "runs").exists()


def test_a_record_of_an_earlier_version_has_no_owner(tmp_path, state):
    record(tmp_path).write({})
    file = state / "fec" / RECORD
    fields = json.loads(file.read_text())
    del fields["owner"]
    file.write_text(json.dumps(fields))
    assert read_record("fec").owner == ""


def test_a_run_that_nobody_knows_is_told_with_the_near_one(tmp_path):
    record(tmp_path).write({})
    with pytest.raises(UsageError, match="did you mean 'fec"):
        read_record("fce")


@pytest.mark.parametrize("text", ["", "{}", '{"spec": {}}', "[1]"])
def test_a_damaged_record_is_named(tmp_path, state, text):
    record(tmp_path).write({})
    (state / "fec" / RECORD).write_text(text)
    with pytest.raises(DataError, match=RECORD):
        read_record("fec")


def test_a_replay_is_the_same_in_a_run_directory_of_its_own(tmp_path):
    before = record(tmp_path).spec
    again = replayed(before, "fec-2")
    assert again.arguments == ("--config=demo", "--workdir=runs/fec-fec-2", "--config.seed=1")
    assert dataclasses.replace(again, name="fec", arguments=before.arguments) == before
    with pytest.raises(UsageError, match="the run itself"):
        replayed(before, "fec")


def test_what_two_runs_differ_in_is_told_flag_by_flag(tmp_path):
    one = record(tmp_path)
    other = dataclasses.replace(
        one,
        spec=dataclasses.replace(
            one.spec, workers=8, arguments=("--config=demo", "--workdir=runs/fec", "--verbose")
        ),
        commit="beef",
        submitted=99.0,
        versions={"python": "3.11.8"},
    )
    assert differences(one, other) == {
        "--config.seed": ("1", None),
        "--verbose": (None, ""),
        "commit": ("c0ffee", "beef"),
        "version of python": ("3.11.7", "3.11.8"),
        "workers": (2, 8),
    }
    assert differences(one, one) == {}


def test_the_commit_and_what_differs_from_it_are_recorded(tmp_path, monkeypatch):
    def git(*arguments: str) -> str:
        flags = ("-c", "user.name=a", "-c", "user.email=a@b")
        return subprocess.run(["git", "-C", str(tmp_path), *flags, *arguments],
                              check=True, capture_output=True, text=True).stdout  # fmt: skip

    git("init", "-q")
    (tmp_path / "file").write_text("before\n")
    git("add", "file")
    git("commit", "-qm", "one")
    monkeypatch.setattr(submit, "SOURCE", tmp_path)
    made, diff = submit.new_record(spec())
    assert (made.commit, diff) == (git("rev-parse", "HEAD").strip(), "")
    (tmp_path / "file").write_text("after\n")
    _, diff = submit.new_record(spec())
    assert "-before\n+after\n" in diff
    monkeypatch.setattr(submit, "SOURCE", tmp_path / "elsewhere")
    assert submit.new_record(spec())[0].commit == ""


def test_a_record_names_secrets_and_holds_none(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKER_KEY", "hunter2")
    text = json.dumps(record(tmp_path).to_dict())
    assert "TRACKER_KEY" in text
    assert "hunter2" not in text
