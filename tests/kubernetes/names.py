"""Names inside the cluster: CoreDNS, as a process and not as a pod."""

from __future__ import annotations

import http.client

from tests.kubernetes import binaries
from tests.kubernetes.cluster import ControlPlane

READY_PORT = 8181


def start(cluster: ControlPlane, address: str) -> None:
    """Starts it at an address of this network, and returns when it knows the cluster's Services."""
    file = cluster.folder / "Corefile"
    # Not kept by anyone: a new pod's name is asked for before it is known, and then again.
    file.write_text(f""". {{
    bind {address}
    errors
    ready {address}:{READY_PORT}
    kubernetes cluster.local {{
        kubeconfig {cluster.kubeconfig()}
        ttl 0
    }}
}}
""")
    cluster.spawn("coredns", [binaries.program("coredns"), f"-conf={file}"])
    cluster.await_start("coredns", lambda: _is_ready(address))


def _is_ready(address: str) -> bool:
    connection = http.client.HTTPConnection(address, READY_PORT, timeout=5)
    try:
        connection.request("GET", "/ready")
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()
