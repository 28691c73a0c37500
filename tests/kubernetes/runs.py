"""Two people with a machine each and one namespace, and what their runs look like to the server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from launch.render.labels import INSTANCE
from launch.render.pod import INDEX_ANNOTATION
from tests.kubernetes.cluster import ADMIN, ControlPlane, Object, Refused
from tests.kubernetes.kubelet import End, Kubelet
from tests.launch.made import IMAGE

ROOT = Path(__file__).parents[2]
K8S = ROOT / "k8s"
SECONDS = 240.0  # of anything waited for; the machine may be shared
JOB, JOBSET = "job", "jobset"
_PATHS = {
    JOB: "/apis/batch/v1/namespaces/{}/jobs/{}",
    JOBSET: "/apis/jobset.x-k8s.io/v1alpha2/namespaces/{}/jobsets/{}",
}
# Of what is no part of the built-in role.
_BESIDES = [
    {"apiGroups": ["jobset.x-k8s.io"], "resources": ["jobsets"], "verbs": ["*"]},
    {"apiGroups": ["kueue.x-k8s.io"], "resources": ["localqueues", "workloads"], "verbs": ["*"]},
]


class Person:
    """A user of the cluster at a machine of his own: `launch` with his records."""

    def __init__(self, cluster: ControlPlane, user: str, namespace: str, folder: Path) -> None:
        self.user, self.namespace, self.folder = user, namespace, folder
        self.kubeconfig = cluster.kubeconfig(user)
        folder.mkdir()

    def start(self, *words: str) -> subprocess.Popen[str]:
        """`python -m launch WORDS` with its output in pipes."""
        plain = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
        environment = {
            **plain,
            "PYTHONPATH": str(ROOT),
            "SHARDLINE_STATE": str(self.folder / "state"),
            "KUBECONFIG": str(self.kubeconfig),
            "USER": self.user,
            "LOGNAME": self.user,
        }
        return subprocess.Popen(
            [sys.executable, "-m", "launch", *words],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def launch(self, *words: str, code: int = 0) -> str:
        """Stdout of a command that has to end with a code; of one that fails, stderr."""
        return finished(self.start(*words), code)

    def train(self, name: str, *flags: str, backend: str = JOB, code: int = 0) -> str:
        """Starts a training; `flags` may hold the worker's, after ` -- `."""
        end = flags.index("--") if "--" in flags else len(flags)
        own, workers = flags[:end], flags[end + 1 :]
        return self.launch("train", f"--backend={backend}", f"--name={name}", f"--image={IMAGE}",
                           f"--namespace={self.namespace}", *own,
                           "--", "--config=demo", "--workdir=/runs/run", *workers,
                           code=code)  # fmt: skip

    def status(self, name: str) -> dict[str, Any]:
        """What --json says of a run."""
        return dict(json.loads(self.launch("status", name, "--json")))


class People:
    """Alice and Bob, who may edit what is in their namespace, and nothing elsewhere."""

    def __init__(self, cluster: ControlPlane, namespace: str, folder: Path) -> None:
        self.cluster, self.namespace = cluster, namespace
        self.alice = Person(cluster, "alice", namespace, folder / "alice")
        self.bob = Person(cluster, "bob", namespace, folder / "bob")
        self.admin = Person(cluster, ADMIN, namespace, folder / "admin")

        self._make_namespace()

    def run(self, name: str, backend: str = JOB) -> Object:
        """The Job or JobSet of a run; {} where it is gone."""
        try:
            return self.cluster.call("GET", _PATHS[backend].format(self.namespace, name))
        except Refused as error:
            if error.status == 404:
                return {}
            raise

    def pods(self, name: str) -> list[Object]:
        """The pods of a run, the newest last."""
        path = f"/api/v1/namespaces/{self.namespace}/pods?labelSelector={INSTANCE}%3D{name}"
        found: list[Object] = self.cluster.call("GET", path)["items"]
        return sorted(found, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))

    def running(self, name: str, workers: int) -> list[Object]:
        """The pods of a run by rank, once all of them run."""
        found: dict[int, Object] = {}

        def seen() -> bool:
            found.clear()
            for pod in self.pods(name):
                if phase(pod) == "Running" and "deletionTimestamp" not in pod["metadata"]:
                    found[rank(pod)] = pod
            return len(found) == workers

        until(f"{workers} workers of {name} run", seen)
        return [found[number] for number in sorted(found)]

    def fails(self, name: str, backend: str = JOB) -> None:
        """Returns once a run has failed for good."""
        until(f"{name} fails", lambda: "Failed" in conditions(self.run(name, backend)))

    def ends(self, name: str, backend: str = JOB) -> None:
        """Returns once a run is over, well or not."""
        over = {"Complete", "Completed", "Failed"}
        until(f"{name} is over", lambda: bool(over & {*conditions(self.run(name, backend))}))

    def newest(self, name: str) -> list[Object]:
        """The newest pod of every rank."""
        found = {rank(pod): pod for pod in self.pods(name)}
        return [found[number] for number in sorted(found)]

    def set_quota(self, hard: dict[str, str]) -> None:
        """Gives the namespace a quota, and returns when it is in force."""
        metadata = {"name": "quota", "namespace": self.namespace}
        self.cluster.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata,
                            "spec": {"hard": hard}})  # fmt: skip
        path = f"/api/v1/namespaces/{self.namespace}/resourcequotas/quota"
        until("the quota is in force", lambda: (
            self.cluster.call("GET", path).get("status") or {}).get("hard") == hard)  # fmt: skip

    def set_deadline(self, name: str, backend: str, seconds: int) -> None:
        """Shortens the deadline of a run, of a JobSet's Job."""
        job = name if backend == JOB else f"{name}-worker-0"
        kind, change = "application/merge-patch+json", {"activeDeadlineSeconds": seconds}
        path = _PATHS[JOB].format(self.namespace, job)
        self.cluster.call("PATCH", path, {"spec": change}, kind)

    def forget(self, name: str, backend: str) -> None:
        """Deletes a run that is over, as its time to live does, and returns when it is gone."""
        self.cluster.call("DELETE", _PATHS[backend].format(self.namespace, name),
                          {"propagationPolicy": "Background"})  # fmt: skip
        until(f"{name} is gone", lambda: not self.run(name, backend))

    def _make_namespace(self) -> None:
        """It admits as k8s/base does."""
        level = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
        metadata = {"namespace": self.namespace}
        subjects = [
            {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}
            for user in ("alice", "bob")
        ]

        def bound(name: str, kind: str) -> Object:
            role = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}
            return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                    "metadata": {"name": name, **metadata}, "roleRef": role,
                    "subjects": subjects}  # fmt: skip

        self.cluster.apply(
            {"apiVersion": "v1", "kind": "Namespace",
             "metadata": {"name": self.namespace, "labels": level}},
            {"apiVersion": "v1", "kind": "ServiceAccount",
             "metadata": {"name": "trainer", **metadata}},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
             "metadata": {"name": "besides", **metadata}, "rules": _BESIDES},
            bound("edit", "ClusterRole"),
            bound("besides", "Role"),
        )  # fmt: skip


class Team(People):
    """Where their pods run, and how they end, is for the test to say."""

    def __init__(
        self, cluster: ControlPlane, kubelet: Kubelet, namespace: str, folder: Path
    ) -> None:
        super().__init__(cluster, namespace, folder)
        self.kubelet = kubelet

    def end(self, name: str, workers: int, code: int) -> None:
        """Every worker of a run ends with a code, once all of them run."""
        for pod in self.running(name, workers):
            self.kubelet.end(pod, End(code))


def finished(process: subprocess.Popen[str], code: int = 0, seconds: float = SECONDS) -> str:
    """Stdout of a command that has to end with a code; of one that fails, stderr."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(f"{process.args}: {process.communicate()}") from None
    assert process.returncode == code, f"{process.args}: {process.returncode} {err}{out}"
    assert "Traceback" not in err, err
    return err if code else out


def until(what: str, seen: Callable[[], bool], seconds: float = SECONDS) -> None:
    """Returns when `seen` is true; fails where that takes too long."""
    deadline = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < deadline, f"after {seconds:.0f} s not: {what}"
        time.sleep(0.1)


def phase(pod: Object) -> str:
    """Of a pod."""
    return str((pod.get("status") or {}).get("phase"))


def rank(pod: Object) -> int:
    """Of a pod."""
    return int(pod["metadata"]["annotations"][INDEX_ANNOTATION])


def conditions(run: Object) -> dict[str, Object]:
    """Those of a run that hold, by their type."""
    found = (run.get("status") or {}).get("conditions") or ()
    return {c["type"]: c for c in found if c["status"] == "True"}
