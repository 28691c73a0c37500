"""Submitting to and watching an API server, a fake one on localhost.

What a real one cannot be made to do, and what has to hold where there is none; tests/kubernetes has
the rest.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from launch import watch
from launch.backends import cluster_logs, cluster_records, kube, kube_request
from launch.backends.base import NotSent
from launch.backends.cluster import Cluster
from launch.backends.cluster_records import with_own_texts
from launch.backends.cluster_state import FAILED_BEFORE
from launch.backends.kube import Api, ClusterError
from launch.foreign import IN_CLUSTER
from launch.own_files import with_own_files
from launch.render.labels import labels
from launch.render.pod import CONTAINER, FOLLOWER_CONTAINER, INDEX_ANNOTATION, WORKER
from launch.runs import outage
from launch.runs.records import Record
from launch.runs.status import (
    FOLLOWER,
    RUNNING,
    LogQuery,
)
from preprocess.shell.errors import DataError
from tests.launch.fake_cluster import FakeCluster
from tests.launch.made import ARGUMENTS, IMAGE, OWN_FILES, own_file, spec

ROOT = Path(__file__).parents[3]
JOB = "/apis/batch/v1/namespaces/shardline/jobs"
JOB_SETS = "/apis/jobset.x-k8s.io/v1alpha2/namespaces/shardline/jobsets"
PODS = "/api/v1/namespaces/shardline/pods"


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCluster]:
    with FakeCluster().running() as fake:
        monkeypatch.setattr(outage, "_failed", -math.inf)
        monkeypatch.setenv("SHARDLINE_STATE", str(tmp_path / "state"))
        monkeypatch.setenv("KUBECONFIG", str(fake.kubeconfig(tmp_path / "kubeconfig")))
        monkeypatch.setattr(kube_request, "FIRST_WAIT_SECONDS", 0.01)
        monkeypatch.setattr(kube_request, "LONGEST_WAIT_SECONDS", 0.01)
        yield fake


def record(**changes: Any) -> Record:
    return Record(
        spec=spec(**changes),
        handle="job:shardline/fec",
        submitted=1.0,
        argv=(),
        directory="/home/user",
        commit="",
        versions={},
    )


def pod(rank: int, phase: str, **status: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": f"fec-{rank}-{phase.lower()}-{status.get('number', 0)}",
            "labels": labels(spec(), WORKER),
            "annotations": {INDEX_ANNOTATION: str(rank)},
            "creationTimestamp": status.pop("made", "2026-01-01T00:00:00Z"),
        },
        "spec": {"nodeName": f"node-{rank}"},
        "status": {"phase": phase, **status},
    }


def ended(code: int, at: str, message: str = "", reason: str = "Error") -> list[dict[str, Any]]:
    state = {"exitCode": code, "finishedAt": at, "message": message, "reason": reason}
    return [{"name": CONTAINER, "state": {"terminated": state}}]


def put_pods(cluster: FakeCluster, *pods: dict[str, Any]) -> None:
    for each in pods:
        cluster.put(f"{PODS}/{each['metadata']['name']}", each)


def test_a_run_starts_when_what_it_needs_is_there(cluster):
    assert Cluster().submit(record()) == "job:shardline/fec"
    assert [(m, path.rsplit("/")[-1]) for m, path in cluster.written()] == [
        ("POST", "jobs"), ("POST", "services"), ("POST", "networkpolicies"), ("PATCH", "fec"),
    ]  # fmt: skip
    job = cluster.objects[f"{JOB}/fec"]
    assert job["spec"]["suspend"] is False
    service = cluster.objects["/api/v1/namespaces/shardline/services/fec"]
    [owner] = service["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("Job", job["metadata"]["uid"])


CONFIG_MAP = "/api/v1/namespaces/shardline/configmaps/fec-own-code"


@pytest.mark.parametrize("backend", ["job", "jobset"])
def test_own_code_is_there_before_the_run_starts_and_is_deleted_with_it(cluster, backend):
    Cluster().submit(record(own_files=OWN_FILES, backend=backend))
    made = [(m, path.rsplit("/")[-1]) for m, path in cluster.written()]
    assert made.index(("POST", "configmaps")) < made.index(("PATCH", "fec"))
    [owner] = cluster.objects[CONFIG_MAP]["metadata"]["ownerReferences"]
    run = cluster.objects[f"{JOB if backend == 'job' else JOB_SETS}/fec"]
    assert (owner["kind"], owner["uid"]) == (run["kind"], run["metadata"]["uid"])
    noted = run["metadata"]["annotations"]["shardline/record"]
    assert OWN_FILES[0].sha256 in noted
    assert "def confident" not in noted


def test_other_own_code_is_another_run(cluster):
    Cluster().submit(record(own_files=OWN_FILES))
    Cluster().submit(record(own_files=OWN_FILES))
    with pytest.raises(NotSent, match="is another run of yours; `launch stop fec`"):
        Cluster().submit(record(own_files=(own_file("mine/losses.py", "x = 1"),)))


def test_what_was_sent_of_own_code_is_read_from_the_cluster_where_it_is_not_recorded(cluster):
    Cluster().submit(record(own_files=OWN_FILES))
    before = Record.from_dict(record(own_files=OWN_FILES).to_dict())
    assert {own.text for own in before.spec.own_files} == {""}
    found = with_own_texts(dataclasses.replace(before, found_in=IN_CLUSTER))
    assert [own.text for own in found.spec.own_files] == [own.text for own in OWN_FILES]
    data = cluster.objects[CONFIG_MAP]["data"]
    data[next(iter(data))] = "import os"
    found = with_own_texts(dataclasses.replace(before, found_in=IN_CLUSTER))
    with pytest.raises(DataError, match=r"mine/losses\.py, as it was submitted"):
        with_own_files(found.spec)
    del cluster.objects[CONFIG_MAP]
    with pytest.raises(DataError, match=r"mine/losses\.py, as it was submitted"):
        with_own_files(with_own_texts(before).spec)


def test_submitting_twice_is_harmless(cluster):
    Cluster().submit(record())
    before = dict(cluster.objects)
    Cluster().submit(record())
    assert cluster.objects == before


def test_an_interrupted_submission_is_completed(cluster):
    """The Job was made, and then the connection was gone for good."""
    cluster.failures = [(201, {}), *[(503, {})] * kube_request.TRIES]
    with pytest.raises((ClusterError, KeyError)):
        Cluster().submit(record())
    cluster.failures = []
    Cluster().submit(record())
    assert "/api/v1/namespaces/shardline/services/fec" in cluster.objects


def test_a_run_that_an_earlier_version_submitted_is_known_again(cluster):
    """Its mark is of a specification that had a field more, which its record still has."""
    Cluster().submit(record())
    annotations = cluster.objects[f"{JOB}/fec"]["metadata"]["annotations"]
    kept = json.loads(annotations[cluster_records.RECORD])
    kept["spec"]["data_workers"] = 0
    annotations[cluster_records.RECORD] = json.dumps(kept)
    annotations[cluster_records.SPEC_HASH] = "0123456789abcdef"
    Cluster().submit(record())
    annotations = cluster.objects[f"{JOB}/fec"]["metadata"]["annotations"]
    assert annotations[cluster_records.SPEC_HASH] == cluster_records.mark(record())


@pytest.mark.parametrize("failures", [[(429, {"Retry-After": "0"})], [(500, {}), (503, {})],
                                      [(0, {}), (0, {})]])  # fmt: skip
def test_what_may_pass_is_tried_again(cluster, failures):
    cluster.failures = list(failures)
    Cluster().submit(record())
    assert cluster.objects[f"{JOB}/fec"]["spec"]["suspend"] is False


def test_what_the_server_asks_to_wait_is_waited(cluster):
    cluster.failures = [(429, {"Retry-After": "7"})]
    waited: list[float] = []
    with pytest.raises(kube.Missing):
        Api("shardline", sleep=waited.append).get("Job", "none")
    assert waited == [7.0]


def test_a_server_that_stays_away_is_told_in_words(cluster):
    cluster.failures = [(503, {})] * kube_request.TRIES
    with pytest.raises(ClusterError, match="does not respond"):
        Api("shardline").get("Job", "fec")
    assert ClusterError.exit_code == 69


def test_a_server_that_hangs_is_given_up_in_time(cluster, tmp_path, monkeypatch):
    """It takes the connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(cluster, "address", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig(tmp_path / "silent")))
        api = Api("shardline", sleep=lambda seconds: None, tries=2, seconds=0.1)
        with pytest.raises(ClusterError, match="does not respond") as given_up:
            api.get("Job", "fec")
        with pytest.raises(ClusterError, match="does not respond"):
            list(api.log("fec-0", "trainer", follow=False))
    assert given_up.value.passing


def test_waiting_ends_where_the_server_refuses(cluster):
    cluster.failures = [(403, {})]
    with pytest.raises(ClusterError, match="403"):
        watch.wait(record())


def test_a_refusal_is_not_tried_again(cluster):
    cluster.failures = [(403, {})] * 2  # of the look for a JobSet of that name, and of the Job
    with pytest.raises(NotSent, match="told to answer 403") as refused:
        Cluster().submit(record())
    assert refused.value.exit_code == 69
    assert [method for method, _ in cluster.requests] == ["GET", "POST"]


def test_a_server_that_has_just_started_may_refuse_at_first(cluster):
    """Its authorizer has not read the roles yet."""
    cluster.failures = [(0, {}), (403, {}), (403, {})]
    Cluster().submit(record())
    assert cluster.objects[f"{JOB}/fec"]["spec"]["suspend"] is False
    cluster.failures = [(0, {}), *[(403, {})] * kube_request.TRIES]
    with pytest.raises(kube.Forbidden) as refused:
        Api("shardline").get("Job", "fec")
    assert refused.value.passing, "who waits goes on waiting"


def condition(kind: str, message: str = "") -> dict[str, Any]:
    return {"type": kind, "status": "True", "message": message}


def test_of_each_rank_the_newest_pod_is_told(cluster):
    cluster.put(f"{JOB}/fec", {"spec": {}, "status": {"failed": 1}, "metadata": {}})
    again = pod(1, "Running", made="2026-01-01T00:01:00Z")
    again["metadata"]["annotations"][FAILED_BEFORE] = "1"
    put_pods(
        cluster,
        pod(1, "Failed", made="2026-01-01T00:00:00Z", containerStatuses=ended(137, "t")),
        again,
        pod(0, "Running"),
    )
    status = Cluster().status(record())
    assert [(r.rank, r.state, r.host) for r in status.ranks] == [
        (0, RUNNING, "node-0"),
        (1, RUNNING, "node-1"),
    ]
    assert (status.restarts, status.failures, status.interruptions) == (1, 1, 0)


def test_why_says_that_memory_ran_out(cluster):
    cluster.put(
        f"{JOB}/fec", {"spec": {}, "status": {"conditions": [condition("Failed")]}, "metadata": {}}
    )
    put_pods(cluster, pod(1, "Failed", containerStatuses=ended(137, "t", reason="OOMKilled")))
    assert Cluster().why(record()) == "failed: rank 1 was out of memory (OOMKilled)"


def test_why_says_what_a_run_waits_for(cluster):
    cluster.put(f"{JOB}/fec", {"spec": {}, "status": {}, "metadata": {}})
    no_room = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu",
    }
    put_pods(cluster, pod(0, "Pending", conditions=[no_room]))
    assert "Insufficient nvidia.com/gpu" in Cluster().why(record())


def test_the_follower_has_lines_and_a_state_of_its_own(cluster):
    """Next to rank 0; rank 1 has the same container, with nothing to say."""
    cluster.put(f"{JOB}/fec", {"spec": {}, "status": {}, "metadata": {}})
    running = {"name": FOLLOWER_CONTAINER, "state": {"running": {"startedAt": "t"}}}
    crashed = {**running, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
    put_pods(
        cluster,
        pod(0, "Running", initContainerStatuses=[running]),
        pod(1, "Running", initContainerStatuses=[crashed]),
    )
    made = record(augment_workers=1)
    for chosen, found in (
        (None, [(0, "one"), (FOLLOWER, "variant 1"), (1, "other")]),
        ({FOLLOWER}, [(FOLLOWER, "variant 1")]),
        ({0}, [(0, "one")]),
    ):
        cluster.logs = {
            "fec-0-running-0": [b"t one\n"],
            "fec-0-running-0/follower": [b"t variant 1\n"],
            "fec-1-running-0": [b"t other\n"],
        }
        lines = Cluster().logs(made, LogQuery(ranks=chosen))
        assert [(line.rank, line.text) for line in lines] == found
    assert Cluster().status(made).follower == "running"
    put_pods(cluster, pod(0, "Running", initContainerStatuses=[crashed]))
    assert Cluster().status(made).follower == "CrashLoopBackOff"
    ended = {"exitCode": 64, "message": "following\nno recipe: set --recipe\n"}
    put_pods(
        cluster,
        pod(0, "Running", initContainerStatuses=[{**crashed, "lastState": {"terminated": ended}}]),
    )
    state = "CrashLoopBackOff: ended with 64: no recipe: set --recipe"
    assert Cluster().status(made).follower == state
    assert Cluster().why(made) == f"running; follower: {state}"


def test_followed_lines_of_a_follower_come_with_those_of_its_worker(cluster, monkeypatch):
    monkeypatch.setattr(cluster_logs, "POLL_SECONDS", 0.01)
    run = {"spec": {}, "status": {}, "metadata": {}}
    cluster.put(f"{JOB}/fec", run)
    worker = pod(0, "Running")
    put_pods(cluster, worker)
    cluster.logs = {
        "fec-0-running-0": [b"2026-01-01T00:00:01Z one\n"],
        "fec-0-running-0/follower": [b"2026-01-01T00:00:01Z variant 1\n"],
    }
    found = set()
    for line in Cluster().logs(record(augment_workers=1), LogQuery(follow=True)):
        found.add((line.rank, line.text))
        if len(found) == 2:
            worker["status"]["phase"] = "Succeeded"
            run["status"] = {"conditions": [condition("Complete")]}
    assert found == {(0, "one"), (FOLLOWER, "variant 1")}


def test_a_last_line_that_was_not_ended_is_told(cluster):
    cluster.put(f"{JOB}/fec", {"spec": {}, "status": {}, "metadata": {}})
    put_pods(cluster, pod(0, "Failed"))
    cluster.logs = {"fec-0-failed-0": [b"2026-01-01T00:00:00Z one\n2026-01-01T00:00:01Z killed at"]}
    lines = list(Cluster().logs(record(), LogQuery()))
    assert [line.text for line in lines] == ["one", "killed at"]


def test_the_life_before_is_told_where_it_is_asked_for(cluster):
    """Rank 1 was replaced twice: the pod before the present one counts; rank 0 never was."""
    cluster.put(f"{JOB}/fec", {"spec": {}, "status": {}, "metadata": {}})
    lives = [pod(1, "Failed", number=n, made=f"2026-01-01T00:0{n}:00Z") for n in (1, 2)]
    put_pods(cluster, *lives, pod(1, "Running", made="2026-01-01T00:03:00Z"), pod(0, "Running"))
    cluster.logs = {"fec-1-failed-2": [b"t out of memory\n"], "fec-1-failed-1": [b"t older\n"]}
    lines = list(Cluster().logs(record(), LogQuery(previous=True)))
    assert [(line.rank, line.text) for line in lines] == [(1, "out of memory")]


def test_lines_are_chosen_by_rank_and_by_pattern(cluster, tmp_path):
    flags = ("--backend=job", "--name=fec", "--workers=2", f"--image={IMAGE}", "--", *ARGUMENTS)
    assert launch(tmp_path, "train", *flags).returncode == 0
    put_pods(cluster, pod(0, "Running"), pod(1, "Running"))

    def logs(*arguments: str) -> subprocess.CompletedProcess[str]:
        cluster.logs = {
            f"fec-{rank}-running-0": [f"t step {rank}\nt loss {rank}\n".encode()] for rank in (0, 1)
        }
        return launch(tmp_path, "logs", "fec", *arguments)

    assert logs().stdout == "[0] step 0\n[0] loss 0\n[1] step 1\n[1] loss 1\n"
    assert logs("--rank=1").stdout == "[1] step 1\n[1] loss 1\n"
    assert logs("--grep=l.ss").stdout == "[0] loss 0\n[1] loss 1\n"
    assert logs("--tail=1").stdout == "[0] loss 0\n[1] loss 1\n"
    assert logs("--rank=one").returncode == 64
    assert "--grep=(" in logs("--grep=(").stderr


def test_followed_logs_survive_a_dropped_connection(cluster, monkeypatch):
    """The second answer repeats the last second, as `sinceTime` does; no line comes twice."""
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    run = {"spec": {}, "status": {}, "metadata": {}}
    cluster.put(f"{JOB}/fec", run)
    worker = pod(0, "Running")
    put_pods(cluster, worker)
    cluster.logs = {
        "fec-0-running-0": [
            b"2026-01-01T00:00:01Z one\n2026-01-01T00:00:02Z two\n",
            b"2026-01-01T00:00:02Z two\n2026-01-01T00:00:03Z three\n",
        ]
    }
    found = []
    for line in Cluster().logs(record(), LogQuery(follow=True)):
        found.append(line.text)
        if line.text == "three":
            worker["status"]["phase"] = "Succeeded"
            run["status"] = {"conditions": [condition("Complete")]}
    assert found == ["one", "two", "three"]


def test_followed_from_the_last_line_a_later_pod_is_shown_whole(cluster, monkeypatch):
    """The connection is dropped once; then the pod fails and another takes its place."""
    monkeypatch.setattr(cluster_logs, "POLL_SECONDS", 0.01)
    run = {"spec": {}, "status": {}, "metadata": {}}
    cluster.put(f"{JOB}/fec", run)
    first = pod(0, "Running")
    second = pod(0, "Running", number=1, made="2026-01-01T00:09:00Z")
    put_pods(cluster, first)
    cluster.logs = {
        "fec-0-running-0": [
            b"2026-01-01T00:00:01Z one\n2026-01-01T00:00:02Z two\n",
            b"2026-01-01T00:00:02Z two\n2026-01-01T00:00:03Z three\n",
        ],
        "fec-0-running-1": [b"2026-01-01T00:10:00Z four\n2026-01-01T00:10:01Z five\n"],
    }
    found = []
    for line in Cluster().logs(record(), LogQuery(follow=True, tail=1)):
        found.append(line.text)
        if line.text == "three":
            first["status"]["phase"] = "Failed"
            put_pods(cluster, first, second)
        if line.text == "five":
            second["status"]["phase"] = "Succeeded"
            run["status"] = {"conditions": [condition("Complete")]}
    assert found == ["two", "three", "four", "five"]


def test_following_ends_with_the_error_of_a_server_that_refuses(cluster):
    cluster.failures = [(403, {})]
    with pytest.raises(ClusterError, match="403"):
        list(Cluster().logs(record(), LogQuery(follow=True)))


def launch(state: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "launch", *arguments],
        cwd=ROOT,
        env={**os.environ, "SHARDLINE_STATE": str(state)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_run_that_goes_on_is_not_started_again(cluster, tmp_path):
    flags = ("--backend=job", "--name=fec", f"--image={IMAGE}", "--", *ARGUMENTS)
    assert launch(tmp_path, "train", *flags).returncode == 0
    again = launch(tmp_path, "train", *flags)
    assert again.returncode == 64
    assert "run 'fec' is pending" in again.stderr


def test_without_a_cluster_the_way_out_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    flags = ("--backend=job", "--name=fec", f"--image={IMAGE}", "--", *ARGUMENTS)
    done = launch(tmp_path, "train", *flags)
    assert done.returncode == 69
    assert "KUBECONFIG" in done.stderr
    assert "Traceback" not in done.stderr


def test_records_hold_what_was_submitted(cluster, tmp_path):
    flags = ("--backend=job", "--name=fec", f"--image={IMAGE}", "--", *ARGUMENTS)
    launch(tmp_path, "train", *flags)
    assert "kind: Job" in (tmp_path / "fec" / "manifests.yaml").read_text()
    assert dataclasses.asdict(record())["spec"]["name"] == "fec"
