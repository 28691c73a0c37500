"""Two nodes with real kubelets, and the scheduler: pods run as containers, from real images.

Each node has a containerd, a bridge and a control group of its own; both are in the tests' one
network, so that plain routes reach every pod. What is in memory goes with the namespaces, the
rest is in one folder and one control group, which `sweep.py` removes.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from preprocess.shell.process import dying_with_parent
from tests.integration import system
from tests.kubernetes import binaries, image, names
from tests.kubernetes.cluster import ControlPlane, Object, Refused
from tests.kubernetes.sweep import HIERARCHIES, folders

COUNT = 2
SHARES = 4096  # of the processor, where 1024 are a process's
PLUGINS = Path("/usr/lib/cni")
FOLDER, GROUP = "SHARDLINE_NODES", "SHARDLINE_GROUP"  # environment variables
ADDRESS, PODS = "198.18.0.{}", "10.244.{}.0/24"  # nowhere but in this network
READY_SECONDS = 240.0
# Where containerd, the CNI plugins, the kubelet and controllers write or read whatever they are
# told: in this mount namespace, what is written there stays in memory.
WRITTEN = ("/etc", "/var/lib", "/var/log")
GIVEN = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf")
# Of the whole machine, and set by every kubelet: it is shown files instead, and sets those.
TUNED = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops",
         "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes")  # fmt: skip
CONTENT = "io.containerd.content.v1.content"
LAYERS = "io.containerd.snapshotter.v1.overlayfs/snapshots"
IMAGES = "k8s.io"  # containerd's namespace of a kubelet


class Node:
    """One of them; its number starts at 1."""

    def __init__(self, number: int, disk: Path, memory: Path) -> None:
        self.name, self.number = f"node-{number}", number
        self.address = ADDRESS.format(number)
        self.disk, self.memory = disk / self.name, memory / self.name
        self.images = self.disk / "containerd"
        self.socket = self.memory / "containerd.sock"
        for folder in (self.disk, self.memory):
            folder.mkdir(parents=True)

    def ctr(self, *arguments: str | Path) -> str:
        """Output of containerd's client."""
        return system.run(["ctr", f"--address={self.socket}", f"--namespace={IMAGES}", *arguments])

    def containerd(self) -> list[str]:
        """Its command."""
        network = {"type": "bridge", "bridge": f"pods{self.number}", "isGateway": True,
                   "hairpinMode": True,
                   "ipam": {"type": "host-local", "dataDir": str(self.memory / "addresses"),
                            "ranges": [[{"subnet": PODS.format(self.number)}]],
                            "routes": [{"dst": "0.0.0.0/0"}]}}  # fmt: skip
        networks = self.memory / "networks"
        networks.mkdir(exist_ok=True)
        text = json.dumps({"cniVersion": "0.4.0", "name": "pods", "plugins": [network]})
        (networks / "10-pods.conflist").write_text(text)
        file = self.memory / "containerd.toml"
        file.write_text(f"""version = 2
root = "{self.images}"
state = "{self.memory / "containerd"}"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
  address = "{self.socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{image.PAUSE}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{PLUGINS}"
    conf_dir = "{networks}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
""")
        return ["containerd", f"--config={file}"]

    def kubelet(self, cluster: ControlPlane, group: str) -> list[str]:
        """Its command."""
        resolv = self.memory / "resolv.conf"
        resolv.write_text("")
        settings = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "tlsCertFile": str(cluster.certificate),
            "tlsPrivateKeyFile": str(cluster.key),
            "address": self.address,
            "healthzPort": 10248 + 10 * self.number,
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{group}/{self.name}",
            "failCgroupV1": False,
            "oomScoreAdj": 0,  # a lower one takes a right that root may lack
            "failSwapOn": False,
            "clusterDNS": [ADDRESS.format(1)],
            "clusterDomain": "cluster.local",
            "resolvConf": str(resolv),
            "containerRuntimeEndpoint": f"unix://{self.socket}",
            "makeIPTablesUtilChains": False,
            "evictionHard": {"memory.available": "200Mi", "nodefs.available": "1%",
                             "imagefs.available": "1%"},
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            "nodeStatusUpdateFrequency": "5s",
            "volumePluginDir": str(self.memory / "plugins"),
            "podLogsDir": str(self.memory / "logs"),
        }  # fmt: skip
        file = self.memory / "kubelet.json"
        file.write_text(json.dumps(settings))
        return [binaries.program("kubelet"), f"--config={file}",
                f"--kubeconfig={cluster.kubeconfig()}", f"--hostname-override={self.name}",
                f"--node-ip={self.address}", f"--root-dir={self.disk / 'kubelet'}",
                f"--cert-dir={self.memory / 'certificates'}"]  # fmt: skip


class Nodes:
    """All of them."""

    def __init__(self, cluster: ControlPlane, memory: Path) -> None:
        self._cluster = cluster
        self._group = os.environ[GROUP]
        self.disk = Path(os.environ[FOLDER])
        self.nodes = [Node(number, self.disk, memory) for number in range(1, COUNT + 1)]
        self._memory = memory
        self.image = ""  # of the trainer, by its digest

    def start(self) -> None:
        """Starts everything and returns when every node is ready."""
        self._cover()
        self._make_network()
        self._make_groups()
        self._cluster.spawn("kube-scheduler", [
            binaries.program("kube-scheduler"), f"--kubeconfig={self._cluster.kubeconfig()}",
            "--leader-elect=false",
        ])  # fmt: skip
        names.start(self._cluster, ADDRESS.format(1))
        self._bring_images()
        for node in self.nodes:
            name = f"containerd-{node.number}"
            self._cluster.spawn(name, node.containerd())
            self._cluster.await_start(name, lambda node=node: _responds(node))
            self._cluster.spawn(f"kubelet-{node.number}", node.kubelet(self._cluster, self._group))
        for node in self.nodes:
            self._cluster.await_start(f"kubelet-{node.number}", lambda node=node: self._ready(node))
        listed = self.nodes[0].ctr("images", "ls", "--quiet").split()
        stem = image.TRAINER.rpartition(":")[0]
        [self.image] = [name for name in listed if name.startswith(f"{stem}@sha256:")]

    def kill(self, pod: Object, number: str = "SIGKILL") -> None:
        """A signal for the first process of a pod's container."""
        [container] = pod["status"]["containerStatuses"]
        identity = container["containerID"].rpartition("/")[2]
        self._of(pod).ctr("tasks", "kill", f"--signal={number}", identity)

    def _of(self, pod: Object) -> Node:
        [found] = [node for node in self.nodes if node.name == pod["spec"]["nodeName"]]
        return found

    def _cover(self) -> None:
        system.run(["mount", "-t", "tmpfs", "tmpfs", "/run"])
        # Files of a container that are mounts of their own would be those of its image again.
        given = {file: file.read_bytes() for file in map(Path, GIVEN) if file.exists()}
        for path in map(Path, WRITTEN):
            self._overlay(path, path)
        for file, content in given.items():
            file.write_bytes(content)
        folder = self._memory / "settings"
        for name in TUNED:
            setting, shown = Path("/proc/sys") / name, folder / name
            if setting.exists():
                shown.parent.mkdir(parents=True, exist_ok=True)
                shown.write_text(setting.read_text())
                system.run(["mount", "--bind", shown, setting])

    def _overlay(self, source: Path, target: Path) -> None:
        """Shows a folder at another place, or its own; what is written there is in memory."""
        written = self._memory / "written" / "-".join(target.parts[1:])
        for folder in (written / "files", written / "work", target):
            folder.mkdir(parents=True, exist_ok=True)
        options = f"lowerdir={source},upperdir={written / 'files'},workdir={written / 'work'}"
        system.run(["mount", "-t", "overlay", "overlay", "-o", options, target])

    def _make_network(self) -> None:
        commands = ["link add nodes type veth peer name nodes-peer",
                    *(f"link set {name} up" for name in ("nodes", "nodes-peer")),
                    *(f"address add {node.address}/24 dev nodes" for node in self.nodes),
                    "route add default dev nodes"]  # fmt: skip
        for command in commands:
            system.run(["ip", *command.split()])
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")

    def _make_groups(self) -> None:
        for folder in folders(self._group):
            for group in (folder, *(folder / node.name for node in self.nodes)):
                with contextlib.suppress(OSError):  # a hierarchy that is read-only is not used
                    group.mkdir()
                for name in ("cpuset.cpus", "cpuset.mems"):  # empty when new, in version 1
                    if (HIERARCHIES / "cpuset").exists() and (group / name).exists():
                        (group / name).write_text((group.parent / name).read_text())
            # Beside the processes outside, all nodes would get what one of those gets.
            if (folder / "cpu.shares").exists():
                (folder / "cpu.shares").write_text(str(SHARES))

    def _bring_images(self) -> None:
        """Unpacked once for a new image, and kept: a node mounts the layers, and has its own copy
        of containerd's databases.
        """
        pause, trainer = image.archives()
        kept = image.unpacked()
        if not kept.exists():
            for old in image.FOLDER.glob("containerd-*"):
                system.run(["rm", "-rf", old])
            made = Node(0, self.disk, self._memory)
            with open(self._memory / "containerd-0.log", "wb") as log:
                process = subprocess.Popen(made.containerd(), stdout=log, stderr=log,
                                           preexec_fn=dying_with_parent())  # fmt: skip
            try:
                deadline = time.monotonic() + READY_SECONDS
                while not _responds(made):
                    assert process.poll() is None and time.monotonic() < deadline
                    time.sleep(0.1)
                for archive, name in ((pause, image.PAUSE), (trainer, image.TRAINER)):
                    stem = name.rpartition(":")[0]
                    made.ctr("images", "import", "--digests", f"--base-name={stem}", archive)
            finally:
                process.terminate()
                process.wait()
            made.images.rename(kept)
            trainer.unlink()
        for node in self.nodes:
            self._share(kept, node.images)

    def _share(self, kept: Path, images: Path) -> None:
        for file in kept.glob("*/*.db"):
            (images / file.parent.name).mkdir(parents=True)
            shutil.copy2(file, images / file.parent.name)
        self._overlay(kept / CONTENT, images / CONTENT)
        for layer in (kept / LAYERS).iterdir():
            (images / LAYERS / layer.name / "work").mkdir(parents=True)
            (images / LAYERS / layer.name / "fs").mkdir()
            shown = images / LAYERS / layer.name / "fs"
            system.run(["mount", "--bind", "-o", "ro", layer / "fs", shown])

    def _ready(self, node: Node) -> bool:
        try:
            status = self._cluster.call("GET", f"/api/v1/nodes/{node.name}").get("status") or {}
        except (OSError, Refused):
            return False
        return any(condition["type"] == "Ready" and condition["status"] == "True"
                   for condition in status.get("conditions") or ())  # fmt: skip


def install() -> None:
    """Brings what Debian has of it; raises Unavailable."""
    try:
        for name in ("containerd", "runc"):
            system.command(name, name)
        system.command(str(PLUGINS / "bridge"), "containernetworking-plugins")  # not on the path
    except pytest.skip.Exception as reason:
        raise binaries.Unavailable(str(reason)) from None


def _responds(node: Node) -> bool:
    try:
        node.ctr("version")
    except subprocess.CalledProcessError:
        return False
    return True
