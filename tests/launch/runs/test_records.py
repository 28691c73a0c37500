"""What a run leaves about itself, and what is made of it: the same again, and what differs."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from launch import submit
from launch.backends import cluster_records
from launch.backends.base import NotSent
from launch.backends.cluster import Cluster
from launch.commands import replay
from launch.render.objects import objects
from launch.runs.again import differences, replayed
from launch.runs.records import DIFF, RECORD, Record, names, read_record
from launch.spec import Mount, OwnFile, Secret
from preprocess.shell.errors import DataError, UsageError
from tests.launch.made import IMAGE, OWN_FILES, own_file, spec


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


def with_own_code(tmp_path: Path, *files: OwnFile) -> Record:
    before = record(tmp_path)
    changes = {"backend": "job", "image": IMAGE, "own_files": files}
    return dataclasses.replace(before, spec=dataclasses.replace(before.spec, **changes))


def test_a_replay_has_the_own_code_that_was_submitted(tmp_path, state):
    """Whatever has become of the files themselves."""
    before = with_own_code(tmp_path, *OWN_FILES)
    before.write({})
    assert (state / "fec" / "own_files.json").stat().st_mode & 0o077 == 0
    found = read_record("fec")
    assert found == before
    assert {own.text for own in found.spec.own_files} == {""}
    again = submit.new_record(replayed(found.with_own_texts().spec, "fec-2"))[0]
    [config_map] = [o for o in objects(again.spec) if o["kind"] == "ConfigMap"]
    assert config_map["metadata"]["name"] == "fec-2-own-code"
    assert list(config_map["data"].values()) == [own.text for own in OWN_FILES]
    for damaged in ("", "[]", json.dumps({OWN_FILES[0].sha256: 1})):
        (state / "fec" / "own_files.json").write_text(damaged)
        with pytest.raises(DataError, match="no longer recorded"):
            submit.new_record(replayed(found.with_own_texts().spec, "fec-2"))


def test_a_replay_of_a_run_outside_of_clusters_asks_none(tmp_path, monkeypatch):
    started, asked = [], []
    monkeypatch.setattr(replay, "_NAME", SimpleNamespace(value="fec-2"))
    monkeypatch.setattr(replay, "start", started.append)
    monkeypatch.setattr(cluster_records, "with_own_texts", lambda r: asked.append(r) or r)
    for backend in ("slurm", "job"):
        made = record(tmp_path, backend=backend, own_files=OWN_FILES)
        monkeypatch.setattr(replay, "one_run", lambda *_, made=made: made)
        replay.main([])
    assert [each.spec.backend for each in asked] == ["job"]
    assert [each.name for each in started] == ["fec-2"] * 2


def test_the_record_of_the_run_before_keeps_its_own_code_where_a_new_one_is_rejected(
    tmp_path, state, monkeypatch
):
    before = with_own_code(tmp_path, *OWN_FILES)
    before.write(submit.backend_of(before.spec).files(before))
    names = {"record.json", "manifests.yaml", "own_files.json"}
    kept = {name: (state / "fec" / name).read_text() for name in names}

    class Rejecting(Cluster):
        def submit(self, record: Record) -> str:
            raise NotSent("not submitted", 69)

    monkeypatch.setattr(submit, "backend_of", lambda spec: Rejecting())
    monkeypatch.setattr(submit, "_refuse_running", lambda record: None)
    with pytest.raises(NotSent):
        submit.submit(with_own_code(tmp_path, own_file("mine/losses.py", "x = 1")), "")
    assert {name: (state / "fec" / name).read_text() for name in names} == kept


def test_runs_with_other_own_code_differ_in_its_files(tmp_path):
    one, other = (with_own_code(tmp_path, own_file("mine/losses.py", t)) for t in ("", "x = 1\n"))
    assert differences(one, other) == {
        "sha256 of mine/losses.py": tuple(r.spec.own_files[0].sha256 for r in (one, other))
    }


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
