"""The controllers that a cluster is given besides its own: JobSet's, and Kueue's.

They run as processes and not as pods: the server calls their webhooks by address.
"""

from __future__ import annotations

import base64
import dataclasses
import http.client
import json
import shutil
import subprocess
import time
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tests.kubernetes import binaries

if TYPE_CHECKING:
    from tests.kubernetes.cluster import ControlPlane, Object


SERVED_SECONDS = 180.0  # of all kinds of a controller, on a busy machine


@dataclasses.dataclass(frozen=True)
class Controller:
    """One of them.

    Attributes:
      name: of the program.
      crds: the definitions of its kinds, in its sources.
      webhooks: what the server asks it.
      asked_about: the resources of which it is asked, and of no others.
      configuration: for its file; what every controller here is told comes on top.
      port: of its webhooks; the next two are for its health and figures.
      flags: further ones.
      certificates: a folder in which it looks for its certificate besides, whatever it is told; ""
        = none.
    """

    name: str
    crds: tuple[binaries.Module, str]
    webhooks: tuple[binaries.Module, str]
    asked_about: Collection[str]
    configuration: dict[str, Any]
    port: int
    flags: tuple[str, ...] = ()
    certificates: str = ""


JOBSET = Controller(
    "jobset",
    binaries.JOBSET_CRDS,
    binaries.JOBSET_WEBHOOKS,
    ("jobsets", "pods"),
    {"apiVersion": "config.jobset.x-k8s.io/v1alpha1"},
    9443,
)
KUEUE = Controller(
    "kueue",
    binaries.KUEUE_CRDS,
    binaries.KUEUE_WEBHOOKS,
    ("jobs", "jobsets", "workloads", "clusterqueues", "resourceflavors", "cohorts"),
    {
        "apiVersion": "config.kueue.x-k8s.io/v1beta2",
        "integrations": {"frameworks": ["batch/job", "jobset.x-k8s.io/jobset"]},
    },
    9543,
    flags=("--feature-gates=VisibilityOnDemand=false",),  # a server of its own, for people
    certificates="/etc/kueue/metrics/certs",
)


def define(cluster: ControlPlane, controller: Controller) -> None:
    """Has the server know a controller's kinds, and returns when it serves them."""
    crds = f"--filename={binaries.module_file(*controller.crds)}"
    cluster.kubectl("apply", "--server-side", crds)
    deadline = time.monotonic() + SERVED_SECONDS
    while True:
        try:
            cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", crds)
            return
        except subprocess.CalledProcessError:  # also where one has no condition at all yet
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def start(cluster: ControlPlane, controller: Controller) -> None:
    """Starts a controller and returns when the server asks it."""
    define(cluster, controller)
    if controller.certificates:
        folder = Path(controller.certificates)
        folder.mkdir(parents=True)
        for file in (cluster.certificate, cluster.key):
            shutil.copyfile(file, folder / file.name)
    configuration = {
        **controller.configuration,
        "kind": "Configuration",
        "leaderElection": {"leaderElect": False},
        "internalCertManagement": {"enable": False},
        "health": {"healthProbeBindAddress": f"127.0.0.1:{controller.port + 1}"},
        "metrics": {"bindAddress": f"127.0.0.1:{controller.port + 2}"},
        "webhook": {"port": controller.port, "certDir": str(cluster.folder)},
    }
    file = cluster.folder / f"{controller.name}.yaml"
    file.write_text(json.dumps(configuration), encoding="utf-8")
    command = [binaries.program(controller.name), f"--config={file}", *controller.flags]
    cluster.spawn(controller.name, command, KUBECONFIG=str(cluster.kubeconfig()))
    cluster.await_start(controller.name, lambda: _listens(controller.port))
    webhooks = binaries.module_file(*controller.webhooks).read_text("utf-8")
    authority = base64.b64encode(cluster.certificate.read_bytes()).decode()
    cluster.apply(
        *(_by_address(each, controller, authority) for each in yaml.safe_load_all(webhooks))
    )


def _by_address(configuration: Object, controller: Controller, authority: str) -> Object:
    configuration["metadata"]["name"] = f"{controller.name}-{configuration['metadata']['name']}"
    hooks = [
        hook
        for hook in configuration["webhooks"]
        if hook["rules"][0]["resources"][0].partition("/")[0] in controller.asked_about
    ]
    for hook in hooks:
        path = hook["clientConfig"]["service"]["path"]
        address = f"https://127.0.0.1:{controller.port}{path}"
        hook["clientConfig"] = {"url": address, "caBundle": authority}
        if hook["rules"][0]["resources"] == ["pods"]:  # as JobSet's own deployment limits it
            mine = {"key": "jobset.sigs.k8s.io/jobset-name", "operator": "Exists"}
            hook["objectSelector"] = {"matchExpressions": [mine]}
    return {**configuration, "webhooks": hooks}


def _listens(port: int) -> bool:
    try:
        http.client.HTTPConnection("127.0.0.1", port, timeout=5).connect()
    except OSError:
        return False
    return True
