"""Two people, two machines, one namespace."""

from __future__ import annotations

import json
import re
import socket

import pytest

from tests.kubernetes.kubelet import End
from tests.kubernetes.runs import JOB, JOBSET, SECONDS, Team, until


def test_list_shows_everybodys_runs_with_owner_and_age(team: Team):
    team.alice.train("hers")
    team.bob.train("his", backend=JOBSET)
    for person in (team.alice, team.bob):
        text = person.launch("list", f"--namespace={team.namespace}")
        for name, owner in (("hers", "alice"), ("his", "bob")):
            host = re.escape(socket.gethostname())
            assert re.search(rf"^{name} .* {owner}@{host} +\d+ (s|min) ", text, re.M), text
    rows = json.loads(team.bob.launch("list", f"--namespace={team.namespace}", "--json"))["runs"]
    assert {row["name"]: row["owner"].partition("@")[0] for row in rows} == {
        "hers": "alice",
        "his": "bob",
    }


def test_a_machine_that_did_not_submit_sees_follows_and_stops_a_run(team: Team):
    here = f"--namespace={team.namespace}"
    team.alice.train("fec", "--workers=2")
    for pod in team.running("fec", 2):
        team.kubelet.write(pod, "a line")
    found = json.loads(team.bob.launch("status", "fec", here, "--json"))
    assert (found["state"], len(found["ranks"])) == ("running", 2)
    assert team.bob.launch("logs", "fec", here) == "[0] a line\n[1] a line\n"
    assert "running" in team.bob.launch("why", "fec", here)
    team.bob.launch("suspend", "fec", here)
    assert team.alice.status("fec")["state"] == "suspended"
    team.bob.launch("resume", "fec", here)
    team.running("fec", 2)
    team.bob.launch("stop", "fec", here)
    until("it is gone", lambda: not team.run("fec"))
    assert f"it is not in namespace '{team.namespace}'" in team.bob.launch(
        "status", "fec", here, code=64
    )


def test_the_namespace_of_the_projects_defaults_is_looked_in(team: Team):
    team.alice.train("fec")
    (team.bob.folder / ".launch.toml").write_text(
        f'namespace = "{team.namespace}"\nbackend = "job"\n[train]\nworkers = 2\n'
    )
    assert team.bob.status("fec")["handle"] == f"job:{team.namespace}/fec"
    assert "fec" in team.bob.launch("list")


def test_a_name_that_changed_hands_is_not_taken_for_ones_own(team: Team):
    team.alice.train("fec")
    team.alice.launch("stop", "fec")
    until("it is gone", lambda: not team.run("fec"))
    assert team.alice.status("fec")["state"] == "stopped"
    team.alice.launch("stop", "fec")  # again
    team.bob.train("fec")
    for command in ("status", "stop", "logs"):
        said = team.alice.launch(command, "fec", code=64)
        assert "'fec' is stopped; its name is now used by bob@" in said
    assert team.run("fec"), "alice has stopped bob's run"


@pytest.mark.parametrize("backend", [JOB, JOBSET])
def test_an_end_that_was_seen_is_kept_and_one_that_was_not_is_not_made_up(team: Team, backend):
    """As after ttlSecondsAfterFinished."""
    for name, code in (("seen", 0), ("unseen", 0), ("failed", 65)):
        team.alice.train(name, backend=backend)
        team.kubelet.end(team.running(name, 1)[0], End(code))
        team.ends(name, backend)
    team.alice.launch("wait", "seen")
    team.alice.launch("wait", "failed", code=1)
    for name in ("seen", "unseen", "failed"):
        team.forget(name, backend)
    status = team.alice.status("seen")
    assert (status["state"], status["failures"]) == ("succeeded", 0)
    assert status["finished"] is not None
    team.alice.launch("wait", "seen")
    status = team.alice.status("failed")
    assert (status["state"], status["failures"]) == ("failed", 1)
    assert team.alice.status("unseen")["state"] == "gone"
    assert "how it ended is unknown" in team.alice.launch("wait", "unseen", code=1)
    assert "its pods are not in the cluster" in team.alice.launch("logs", "seen", code=64)


def test_logs_of_a_pod_that_is_gone_are_missed_aloud(team: Team):
    team.alice.train("fec", "--workers=2")
    team.kubelet.write(team.running("fec", 2)[0], "one")
    process = team.alice.start("logs", "fec", "--previous")
    out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, out) == (0, "") and "no pod of the attempt before" in err


def test_the_record_in_the_cluster_holds_no_value_of_a_secret(team: Team):
    team.alice.train("fec", "--secret=tracker:key:TRACKER_KEY")
    annotations = team.run("fec")["metadata"]["annotations"]
    assert "TRACKER_KEY" in annotations["shardline/record"]
    assert annotations["shardline/owner"].startswith("alice@")


def test_a_tensorboard_that_sees_the_volume_is_found_or_asked_for(team: Team):
    team.alice.train("fec", "--volume=runs:/runs")
    said = team.alice.launch("tensorboard", "fec", code=64)
    assert "no TensorBoard" in said and "--tensorboard" in said
