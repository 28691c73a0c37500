"""`launch check`: the nodes of a cluster, its API server, a registry and a bucket, all faked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launch.backends import kube_request
from launch.checks.cluster_checks import cluster as checks
from launch.checks.following import following
from launch.checks.image import image, manifest_url
from launch.checks.result import FAIL, OK, WARNING
from launch.checks.room import room
from launch.checks.storage import bucket, on_a_volume, places
from launch.gpus import Gpu
from launch.quantity import amount
from launch.render.objects import objects
from launch.runs.records import Record
from launch.spec import Mount
from launch.submit import new_record
from tests.launch.fake_cluster import FakeCluster
from tests.launch.made import IMAGE, spec

ROOT = Path(__file__).parents[3]
IN_NAMESPACE = "/api/v1/namespaces/shardline"
QUEUES = "/apis/kueue.x-k8s.io/v1beta2"
DIGEST = IMAGE.partition("@")[2]
# A worker of `spec()` asks for 4 processors, 16Gi and 20Gi of disk.
ROOM_FOR_TWO = {"cpu": "9900m", "memory": "40Gi", "ephemeral-storage": "100Gi", "pods": "110"}


def node(allocatable: dict[str, str] = ROOM_FOR_TWO, **spec: Any) -> dict[str, Any]:
    labels = spec.pop("labels", {})
    return {"metadata": {"labels": labels}, "spec": spec, "status": {"allocatable": allocatable}}


def pod(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = objects(spec(**changes))[0]["spec"]["template"]["spec"]
    return found


@pytest.mark.parametrize(
    ("text", "value"),
    [("4", 4), ("500m", 0.5), ("16Gi", 2**34), ("1k", 1000), ("1Ki", 1024), ("1e3", 1000),
     ("7.5", 7.5), ("", 0), ("x", 0), (3, 3)],
)  # fmt: skip
def test_quantities_are_read_as_kubernetes_writes_them(text, value):
    assert amount(text) == value


@pytest.mark.parametrize(
    ("workers", "nodes", "autoscaled", "state", "words"),
    [
        (4, [node(), node()], False, OK, "4 workers fit on 2 of 2 nodes"),
        (5, [node(), node()], False, FAIL, "room for 4 of 5"),
        (5, [node(), node()], True, WARNING, "room for 4 of 5"),
        (1, [node({**ROOM_FOR_TWO, "memory": "15Gi"})], False, FAIL, "the largest has memory 15Gi"),
        (1, [node({**ROOM_FOR_TWO, "memory": "15Gi"})], True, FAIL, "no node has room"),
        (1, [node(unschedulable=True)], False, FAIL, "cordoned"),
        (1, [node(taints=[{"key": "team", "effect": "NoSchedule"}])], False, FAIL, "taint team"),
        (1, [node(taints=[{"key": "team", "effect": "PreferNoSchedule"}])], False, OK, "fit"),
        (1, [], False, FAIL, "no node"),
    ],
)
def test_workers_fit_or_the_reason_is_told(workers, nodes, autoscaled, state, words):
    found = room(pod(workers=workers), workers, nodes, autoscaled)
    assert (found.state, words in found.message) == (state, True), found


def test_what_a_worker_and_its_follower_request_is_summed_and_both_can_request_less():
    """4 + 3 processors, 16 + 4 GiB and 20 + 1 GiB of disk, for a node with 4 of the first."""
    found = room(pod(augment_workers=3), 1, [node({**ROOM_FOR_TWO, "cpu": "4"})], False)
    assert "(cpu 7, memory 20Gi, ephemeral-storage 21Gi)" in found.message
    assert "--augment_workers" in found.remedy
    alone = room(pod(), 1, [node({**ROOM_FOR_TWO, "cpu": "3"})], False)
    assert "(cpu 4, memory 16Gi, ephemeral-storage 20Gi)" in alone.message
    assert "--augment_workers" not in alone.remedy and "--cpus" in alone.remedy


def test_gpus_are_looked_for_by_kind_taint_and_number():
    """GKE taints its GPU nodes; two workers that take all eight want a node each."""
    gpu_pod = pod(gpu=Gpu("h100", 8))
    size = {**ROOM_FOR_TWO, "nvidia.com/gpu": "8"}
    taint = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
    h100 = {"cloud.google.com/gke-accelerator": "nvidia-h100-80gb"}
    fitting = node(size, labels=h100, taints=[taint])
    assert room(gpu_pod, 2, [fitting, fitting], False).state == OK
    assert room(gpu_pod, 2, [fitting], False).state == FAIL
    l4 = node(size, labels={"cloud.google.com/gke-accelerator": "nvidia-l4"}, taints=[taint])
    assert "is not nvidia-h100-80gb" in room(gpu_pod, 2, [l4], False).message
    no_plugin = node(ROOM_FOR_TWO, labels=h100)
    assert "device plugin" in room(gpu_pod, 2, [no_plugin], False).message


@given(st.integers(1, 9), st.integers(0, 6))
def test_what_fits_needs_no_more_than_its_share_of_nodes(workers, nodes):
    """Each node holds two workers of 4 processors: so ceil(workers / 2) nodes do, no fewer."""
    found = room(pod(), workers, [node()] * nodes, autoscaled=False)
    assert (found.state == OK) == (2 * nodes >= workers)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCluster]:
    """With everything that an ordinary run needs."""
    with FakeCluster().running() as made:
        monkeypatch.setenv("KUBECONFIG", str(made.kubeconfig(tmp_path / "kubeconfig")))
        monkeypatch.setattr(kube_request, "FIRST_WAIT_SECONDS", 0.01)
        made.put("/version", {"major": "1", "minor": "34+"})
        made.put("/api/v1/namespaces/shardline", {})
        made.put(f"{IN_NAMESPACE}/serviceaccounts/trainer", {})
        for number in range(2):
            made.put(f"/api/v1/nodes/{number}", node())
        yield made


def record(**changes: Any) -> Record:
    return new_record(spec(**changes))[0]


def states(**changes: Any) -> dict[str, str]:
    return {result.name: result.state for result in checks(record(**changes))}


def test_where_all_is_there_all_is_well(fake):
    assert set(states().values()) == {OK}
    assert not [path for path in fake.objects if "/jobs/" in path], "nothing is stored"
    tried = [path.rsplit("/", 1)[1] for method, path in fake.written()]
    assert tried == ["jobs", "services", "networkpolicies", "pods"]


@pytest.mark.parametrize(
    ("gone", "name"),
    [("/api/v1/namespaces/shardline", "namespace"),
     (f"{IN_NAMESPACE}/serviceaccounts/trainer", "account")],
)  # fmt: skip
def test_what_is_not_there_is_named(fake, gone, name):
    del fake.objects[gone]
    assert states()[name] == FAIL


def test_claims_and_priorities_are_looked_for(fake):
    found = states(mounts=(Mount("runs", "/runs"),), priority="high")
    assert (found["volume"], found["priority"]) == (FAIL, FAIL)
    fake.put(f"{IN_NAMESPACE}/persistentvolumeclaims/runs", {})
    fake.put("/apis/scheduling.k8s.io/v1/priorityclasses/high", {})
    found = states(mounts=(Mount("runs", "/runs"),), priority="high")
    assert (found["volume"], found["priority"]) == (OK, OK)


def test_a_kind_without_its_operator_fails(fake):
    assert states(backend="jobset")["JobSet"] == FAIL
    fake.put("/apis/jobset.x-k8s.io/v1alpha2", {"resources": [{"name": "jobsets"}]})
    assert states(backend="jobset")["JobSet"] == OK


def test_of_queues_the_near_one_is_offered(fake):
    fake.put(QUEUES, {"resources": [{"name": "localqueues"}]})
    there = f"{QUEUES}/namespaces/shardline/localqueues/training"
    fake.put(there, {"metadata": {"name": "training"}})
    [queue] = [r for r in checks(record(queue="trainng")) if r.name == "queue"]
    assert (queue.state, queue.remedy) == (FAIL, "--queue=training")
    assert states(queue="training")["queue"] == OK
    stopped = {"type": "Active", "status": "False", "message": "its ClusterQueue is gone"}
    fake.objects[there]["status"] = {"conditions": [stopped]}
    assert states(queue="training")["queue"] == WARNING


def test_a_pod_that_admission_would_refuse_is_found_before_it_is_made(fake):
    fake.denied = {"Pod": "violates PodSecurity"}
    [dry] = [result for result in checks(record()) if result.name == "dry run"]
    assert dry.state == FAIL
    assert "violates PodSecurity" in dry.message


def test_a_name_that_is_taken_is_told(fake):
    fake.put("/apis/batch/v1/namespaces/shardline/jobs/fec", {})
    assert states()["dry run"] == WARNING


def test_an_old_server_is_told(fake):
    fake.objects["/version"]["minor"] = "29"
    assert states()["server"] == WARNING


@pytest.mark.parametrize(("minor", "state"), [("28", FAIL), ("29", WARNING), ("34", OK)])
def test_a_server_without_sidecars_is_refused_for_a_follower(fake, minor, state):
    fake.objects["/version"]["minor"] = minor
    assert states(augment_workers=1)["server"] == state
    assert states()["server"] != FAIL


def test_where_nodes_may_be_added_too_few_are_a_warning(fake):
    assert states(workers=5)["room"] == FAIL
    fake.put("/api/v1/namespaces/kube-system/configmaps/cluster-autoscaler-status", {})
    assert states(workers=5)["room"] == WARNING


@pytest.mark.parametrize(
    ("reference", "registry", "path"),
    [
        ("gcr.io/p/app", "gcr.io", "p/app"),
        ("localhost:5000/app:1", "localhost:5000", "app"),
        ("app", "registry-1.docker.io", "library/app"),
        ("team/app:v1", "registry-1.docker.io", "team/app"),
    ],
)
def test_images_are_looked_for_where_docker_would(reference, registry, path):
    scheme = "http" if registry.startswith("localhost") else "https"
    expected = f"{scheme}://{registry}/v2/{path}/manifests/{DIGEST}"
    assert manifest_url(f"{reference}@{DIGEST}") == (registry, expected)


class Server(ThreadingHTTPServer):
    """Answers by (method, path) -> (status, headers, body)."""

    daemon_threads = True

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], tuple[int, dict[str, str], bytes]] = {}
        self.asked: list[tuple[str, str, str]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *arguments: object) -> None:
                del arguments

            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path = self.path.partition("?")[0]
                token = self.headers.get("Authorization", "")
                server.asked.append((self.command, path, token))
                answers = server.answers
                found = answers.get((self.command + token, path), answers.get((self.command, path)))
                status, headers, body = found or (404, {}, b"{}")
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_HEAD = do_POST = do_DELETE = answer

        super().__init__(("127.0.0.1", 0), Handler)
        self.place = f"127.0.0.1:{self.server_address[1]}"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.mark.parametrize(("status", "state"), [(200, OK), (404, FAIL), (401, WARNING),
                                               (403, WARNING), (500, WARNING)])  # fmt: skip
def test_a_registry_is_asked_for_the_digest(server, status, state):
    server.answers["HEAD", f"/v2/team/app/manifests/{DIGEST}"] = (status, {}, b"")
    assert image(f"{server.place}/team/app@{DIGEST}").state == state


def test_a_public_image_is_asked_for_with_the_token_that_anybody_gets(server):
    path = f"/v2/app/manifests/{DIGEST}"
    challenge = (
        f'Bearer realm="http://{server.place}/token",service="s",scope="repository:app:pull"'
    )
    server.answers["HEAD", path] = (401, {"WWW-Authenticate": challenge}, b"")
    server.answers["GET", "/token"] = (200, {}, b'{"token": "any"}')
    server.answers["HEADBearer any", path] = (200, {}, b"")
    assert image(f"{server.place}/app@{DIGEST}").state == OK


def test_a_registry_that_is_not_there_cannot_tell(server):
    place = server.place
    server.server_close()
    assert image(f"{place}/app@{DIGEST}").state == WARNING


@pytest.fixture
def storage(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://{server.place}")
    return server


def test_a_bucket_is_written_to_and_left_as_it_was(storage, monkeypatch):
    monkeypatch.setattr("uuid.uuid4", lambda: type("Fixed", (), {"hex": "1"}))
    storage.answers["POST", "/upload/storage/v1/b/runs/o"] = (200, {}, b'{"name": "fec/.probe-1"}')
    storage.answers["DELETE", "/storage/v1/b/runs/o/fec%2F.probe-1"] = (204, {}, b"")
    assert bucket("--workdir", "gs://runs/fec").state == OK
    # Some clients look at the bucket in between.
    assert [method for method, *_ in storage.asked if method != "GET"] == ["POST", "DELETE"]


@pytest.mark.parametrize(("status", "state"), [(404, FAIL), (403, WARNING), (503, WARNING)])
def test_a_bucket_that_cannot_be_written_is_told(storage, status, state):
    storage.answers["POST", "/upload/storage/v1/b/runs/o"] = (status, {}, b"{}")
    assert bucket("--workdir", "gs://runs/fec").state == state


def test_what_would_end_with_its_pod_fails():
    mounted = spec(mounts=(Mount("runs", "/runs"),))
    assert on_a_volume("--workdir", "/runs/fec", mounted).state == OK
    assert on_a_volume("--workdir", "/runs2/fec", mounted).state == FAIL
    assert on_a_volume("--workdir", "runs/fec", mounted).state == FAIL


def test_a_run_directory_at_an_address_fails_and_a_dataset_there_does_not():
    found = places(spec(arguments=("--workdir=gs://b/run", "--data=gs://b/data")))
    assert [(result.name, result.state) for result in found] == [("--workdir", FAIL)]


def test_a_dataset_with_a_follower_is_written_to(tmp_path):
    flags = (f"--data={tmp_path}", f"--workdir={tmp_path}/run")
    asked = {"backend": "local", "workers": 1, "image": "", "arguments": flags}
    names = [result.name for result in places(spec(**asked, augment_workers=1))]
    assert names == ["--workdir", "--data"]
    assert [result.name for result in places(spec(**asked))] == ["--workdir"]
    missing = spec(**{**asked, "arguments": (f"--data={tmp_path}/x", flags[1])}, augment_workers=1)
    assert places(missing)[1].message == f"'{tmp_path}/x' does not exist"


@pytest.mark.parametrize(
    ("recipe", "state", "words"),
    [
        ("photos", OK, "comes with the builder"),
        ("fotos", FAIL, "--augment_recipe=photos"),
        ("/runs/mine.yaml", OK, "on the volume at /runs"),
        ("/home/mine.yaml", FAIL, "on none of the pods' volumes"),
        ("gs://bucket/mine.yaml", WARNING, "cannot be tested"),
    ],
)
def test_a_recipe_of_a_follower_in_a_cluster_is_known_or_on_a_volume(recipe, state, words):
    mounts = (Mount("runs", "/runs"),)
    (result,) = following(spec(augment_workers=1, augment_recipe=recipe, mounts=mounts))
    assert (result.name, result.state) == ("--augment_recipe", state)
    assert words in f"{result.message} {result.remedy}"


def test_a_follower_here_is_asked_whether_it_could_start(tmp_path, monkeypatch):
    """The folder is no dataset."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    flags = (f"--data={tmp_path}", f"--workdir={tmp_path}/run")
    asked = {"backend": "local", "workers": 1, "image": "", "arguments": flags}
    assert following(spec(**asked)) == []
    (result,) = following(spec(**asked, augment_workers=1))
    assert (result.name, result.state) == ("follower", FAIL)
    assert str(tmp_path) in result.message
    assert list(tmp_path.iterdir()) == []


def check(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "launch", "check", *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def flags(server: Server) -> list[str]:
    server.answers["HEAD", f"/v2/app/manifests/{DIGEST}"] = (200, {}, b"")
    image_flag = f"--image={server.place}/app@{DIGEST}"
    return ["train", "--backend=job", "--workers=2", image_flag, "--volume=runs:/runs"]


def test_the_command_tells_all_and_ends_as_it_found(fake, server):
    fake.put(f"{IN_NAMESPACE}/persistentvolumeclaims/runs", {})
    done = check(*flags(server), "--json", "--", "--config=demo", "--workdir=/runs/fec")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert found["ok"]
    assert {c["state"] for c in found["checks"]} == {OK}
    assert {"room", "image", "dry run"} <= {c["name"] for c in found["checks"]}
    done = check(*flags(server), "--", "--config=demo", "--workdir=/elsewhere/fec")
    assert done.returncode == 78
    assert "FAIL     --workdir" in done.stdout
    assert "--volume=CLAIM:/PATH" in done.stdout


def test_without_a_server_the_rest_is_told(server, tmp_path):
    with FakeCluster().running() as gone:  # a port that nobody answers any more
        path = str(gone.kubeconfig(tmp_path / "kubeconfig"))
    done = check(*flags(server), "--", "--workdir=/runs/fec", KUBECONFIG=path)
    assert done.returncode == 69
    assert "ok       image" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_local_run_needs_a_folder_only(tmp_path):
    assert check("train", "--", f"--workdir={tmp_path}/run").returncode == 0
    taken = tmp_path / "file"
    taken.write_text("")
    assert check("train", "--", f"--workdir={tmp_path}/run", "--data=/none").returncode == 78
