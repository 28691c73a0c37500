"""A control plane: etcd, the API server, the controller manager, and JobSet's controller.

Its ports are fixed, as it has a network of its own (`__main__.py`), and all its files are in
memory. Users are told apart by tokens; `admin` may do everything.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import ssl
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from preprocess.shell.process import dying_with_parent
from tests.integration import system
from tests.kubernetes import binaries, controllers

Object = dict[str, Any]

ETCD = "http://127.0.0.1:2379"
SERVER_PORT = 6443
SERVER = f"https://127.0.0.1:{SERVER_PORT}"
ADVERTISED = "192.0.2.1"  # the server refuses to advertise a loopback address
ADMIN, USERS = "admin", ("alice", "bob")
START_SECONDS = 180.0  # for any program; the machine may be shared
# Those of which nothing is tested, and those that need a kubelet's heartbeat.
WITHOUT = ("node-ipam-controller", "node-route-controller", "cloud-node-lifecycle-controller",
           "service-lb-controller", "horizontal-pod-autoscaler-controller")  # fmt: skip
OF_NODES = ("node-lifecycle-controller", "taint-eviction-controller")


class Refused(Exception):
    """The API server's answer is not one of success."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class ControlPlane:
    """Its programs as children of this process, and requests to its API server."""

    def __init__(self, folder: Path, kubelets: bool = False) -> None:
        self.folder, self._kubelets = folder, kubelets
        self.certificate, self.key = folder / "tls.crt", folder / "tls.key"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Starts everything and returns when it is ready."""
        for command in (["ip", "link", "set", "lo", "up"],
                        ["ip", "address", "add", f"{ADVERTISED}/32", "dev", "lo"]):  # fmt: skip
            system.run(command)
        # One certificate, its own authority, for every server here; its key signs tokens, too.
        names = f"subjectAltName=IP:127.0.0.1,IP:{ADVERTISED},DNS:localhost"
        system.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30",
                    "-subj", "/CN=shardline-test", "-addext", names,
                    "-keyout", self.key, "-out", self.certificate])  # fmt: skip
        rows = [f"{ADMIN},{ADMIN},{ADMIN},system:masters"]
        rows += [f"{user},{user},{user}" for user in USERS]
        (self.folder / "tokens.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
        for user in (ADMIN, *USERS):
            self.kubeconfig(user).write_text(json.dumps(self._config(user)), encoding="utf-8")
        self.spawn("etcd", ["etcd", f"--data-dir={self.folder / 'etcd'}", "--unsafe-no-fsync",
                             f"--listen-client-urls={ETCD}", f"--advertise-client-urls={ETCD}",
                             "--listen-peer-urls=http://127.0.0.1:2380"])  # fmt: skip
        self.start_server()
        without = WITHOUT if self._kubelets else (*WITHOUT, *OF_NODES)
        disabled = ",".join(f"-{name}" for name in without)
        self.spawn("kube-controller-manager", [
            binaries.program("kube-controller-manager"), f"--kubeconfig={self.kubeconfig()}",
            f"--service-account-private-key-file={self.key}", "--leader-elect=false",
            f"--root-ca-file={self.certificate}", f"--controllers=*,{disabled}",
            "--concurrent-gc-syncs=5", "--use-service-account-credentials=false",
        ])  # fmt: skip
        controllers.start(self, controllers.JOBSET)

    def kubeconfig(self, user: str = ADMIN) -> Path:
        """A file by which a user comes here."""
        return self.folder / f"{user}.kubeconfig"

    def start_server(self) -> None:
        """Starts the API server, also again, and returns when it is ready."""
        self.spawn("kube-apiserver", [
            binaries.program("kube-apiserver"), f"--etcd-servers={ETCD}",
            "--bind-address=127.0.0.1", f"--secure-port={SERVER_PORT}",
            f"--advertise-address={ADVERTISED}", "--endpoint-reconciler-type=none",
            f"--tls-cert-file={self.certificate}", f"--tls-private-key-file={self.key}",
            f"--service-account-key-file={self.key}",
            f"--service-account-signing-key-file={self.key}",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--kubelet-preferred-address-types=InternalIP",
            "--service-cluster-ip-range=10.96.0.0/16", "--authorization-mode=RBAC",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            # Clusters that enforce it ask who may block the deletion of an owner.
            "--enable-admission-plugins=OwnerReferencesPermissionEnforcement",
            "--shutdown-delay-duration=0s", "--profiling=false",
        ])  # fmt: skip
        self.await_start("kube-apiserver", self._is_ready)

    def kill_server(self) -> None:
        """Ends the API server at once, as a crash does."""
        self._processes["kube-apiserver"].kill()
        self._processes["kube-apiserver"].wait()

    def pause_server(self) -> None:
        """Stops the API server without closing a connection."""
        self._processes["kube-apiserver"].send_signal(signal.SIGSTOP)

    def continue_server(self) -> None:
        """Lets it go on."""
        self._processes["kube-apiserver"].send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Ends everything."""
        for process in reversed(self._processes.values()):
            process.kill()
            process.wait()

    def spawn(self, name: str, command: list[str], **environment: str) -> None:
        """Starts a program, which ends with this process; its output goes to NAME.log."""
        with open(self.folder / f"{name}.log", "ab") as log:
            self._processes[name] = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=dying_with_parent(),
            )

    def await_start(self, name: str, seen: Callable[[], bool]) -> None:
        """Returns when a program is seen to have started; fails where it ended."""
        deadline = time.monotonic() + START_SECONDS
        while not seen():
            if self._processes[name].poll() is not None or time.monotonic() > deadline:
                log = (self.folder / f"{name}.log").read_text("utf-8", errors="replace")
                raise AssertionError(f"{name} did not start: {log[-2000:]}")
            time.sleep(0.05)

    def call(
        self, method: str, path: str, body: Object | None = None, kind: str = "application/json"
    ) -> Object:
        """One request as admin; raises Refused, or OSError where nobody responds."""
        connection = http.client.HTTPSConnection(
            "127.0.0.1", SERVER_PORT, timeout=30, context=self._trusting()
        )
        headers = {"Authorization": f"Bearer {ADMIN}", "Content-Type": kind}
        try:
            connection.request(method, path, json.dumps(body) if body else None, headers)
            response = connection.getresponse()
            data = response.read()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()
        try:
            found = json.loads(data)
        except ValueError:
            found = {"message": data.decode("utf-8", "replace")}
        if response.status >= 300:
            raise Refused(response.status, str(found.get("message", found)))
        return dict(found)

    def kubectl(self, *arguments: str | Path, user: str = ADMIN) -> str:
        """Output of kubectl."""
        return system.run(
            [binaries.program("kubectl"), f"--kubeconfig={self.kubeconfig(user)}", *arguments]
        )

    def apply(self, *objects: Object) -> None:
        """Puts objects there, or changes them to what they should be."""
        file = self.folder / "applied.yaml"
        file.write_text(yaml.safe_dump_all(objects), encoding="utf-8")
        self.kubectl("apply", "--server-side", "--force-conflicts", f"--filename={file}")

    def try_out(self, *objects: Object) -> None:
        """Has the server judge objects as it would on `create`; fails for a warning, too."""
        file = self.folder / "tried.yaml"
        file.write_text(yaml.safe_dump_all(objects), encoding="utf-8")
        self.kubectl("create", "--dry-run=server", "--validate=strict", "--warnings-as-errors",
                     f"--filename={file}")  # fmt: skip

    def _config(self, user: str) -> Object:
        cluster = {"server": SERVER, "certificate-authority": str(self.certificate)}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": cluster}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
            "users": [{"name": user, "user": {"token": user}}],
        }

    def _trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.certificate))

    def _is_ready(self) -> bool:
        try:
            self.call("GET", "/readyz")
        except (OSError, Refused):
            return False
        return True
