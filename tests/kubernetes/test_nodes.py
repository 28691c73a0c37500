"""The nodes themselves: a container of the image runs under the rules that workers have."""

from __future__ import annotations

import pytest

from launch.render.pod import container_security, pod_security
from tests.kubernetes.cluster import Object
from tests.kubernetes.crew import Crew
from tests.kubernetes.runs import phase, until

pytestmark = [pytest.mark.kubelets, pytest.mark.timeout(600)]

WHO = """
import os
print(os.getuid())
try:
    open("/app/new", "w")
except OSError as error:
    print(error.strerror)
"""


def run(crew: Crew, name: str, *command: str) -> None:
    """Starts a pod in the team's namespace, whose admission is `restricted`."""
    container = {"name": "only", "image": crew.nodes.image, "command": list(command),
                 "imagePullPolicy": "Never", "securityContext": container_security()}  # fmt: skip
    spec = {"securityContext": pod_security(), "automountServiceAccountToken": False,
            "restartPolicy": "Never", "containers": [container]}  # fmt: skip
    metadata = {"name": name, "namespace": crew.namespace}
    crew.cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})


def pod(crew: Crew, name: str) -> Object:
    """As it is now."""
    return crew.cluster.call("GET", f"/api/v1/namespaces/{crew.namespace}/pods/{name}")


def test_the_image_runs_as_its_own_user_on_a_read_only_root(crew: Crew):
    run(crew, "who", "python", "-c", WHO)
    until("it ends", lambda: phase(pod(crew, "who")) in ("Succeeded", "Failed"))
    assert crew.log(pod(crew, "who")).split("\n")[:2] == ["10001", "Read-only file system"]


def test_a_killed_container_ends_with_137_and_a_terminated_one_as_it_says(crew: Crew):
    wait = "trap 'exit 75' TERM; echo here; while :; do sleep 0.1; done"
    for name in ("killed", "told"):
        run(crew, name, "sh", "-c", wait)
    for name, number, code in (("killed", "SIGKILL", 137), ("told", "SIGTERM", 75)):
        until(f"{name} runs", lambda name=name: phase(pod(crew, name)) == "Running"
              and "here" in crew.log(pod(crew, name)))  # fmt: skip
        crew.nodes.kill(pod(crew, name), number)
        until(f"{name} ends", lambda name=name: phase(pod(crew, name)) == "Failed")
        [status] = pod(crew, name)["status"]["containerStatuses"]
        assert status["state"]["terminated"]["exitCode"] == code
