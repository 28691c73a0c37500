"""Names inside the cluster, in place of CoreDNS: the pods of headless Services.

HOST.SERVICE.NAMESPACE.svc.cluster.local is the address of one pod, without HOST of all; whatever
else is asked does not exist.
"""

from __future__ import annotations

import socket
import struct
import threading

from tests.kubernetes.cluster import ControlPlane, Refused

POLL_SECONDS = 0.2
_ADDRESS, _INTERNET, _TIME_TO_LIVE = 1, 1, 1
_HEADER = struct.Struct(">HHHHHH")


class Names:
    """Answers at an address until the process ends."""

    def __init__(self, cluster: ControlPlane, address: str) -> None:
        self._cluster = cluster
        self._found: dict[str, list[str]] = {}
        self._over = threading.Event()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, 53))

    def start(self) -> None:
        """Begins."""
        for work in (self._look, self._answer):
            threading.Thread(target=work, daemon=True).start()

    def stop(self) -> None:
        """Looks no more."""
        self._over.set()

    def _look(self) -> None:
        while not self._over.wait(POLL_SECONDS):
            try:
                path = "/apis/discovery.k8s.io/v1/endpointslices"
                slices = self._cluster.call("GET", path)["items"]
            except (OSError, Refused):
                continue
            found: dict[str, list[str]] = {}
            for each in slices:
                metadata = each["metadata"]
                service = (metadata.get("labels") or {}).get("kubernetes.io/service-name")
                stem = f"{service}.{metadata['namespace']}.svc.cluster.local"
                for endpoint in each.get("endpoints") or ():
                    # `ready` is true for all of a Service that publishes those that are not.
                    if (endpoint.get("conditions") or {}).get("ready") is False:
                        continue
                    names = [stem]
                    if endpoint.get("hostname"):
                        names.append(f"{endpoint['hostname']}.{stem}")
                    for name in names:
                        found.setdefault(name, []).extend(endpoint["addresses"])
            self._found = found

    def _answer(self) -> None:
        while True:
            query, sender = self._socket.recvfrom(4096)
            self._socket.sendto(reply(query, self._found), sender)


def reply(query: bytes, names: dict[str, list[str]]) -> bytes:
    """The answer to a query for an IPv4 address; to any other one, none."""
    number = _HEADER.unpack_from(query)[0]
    at, labels = _HEADER.size, []
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode().lower())
        at += query[at] + 1
    question = query[_HEADER.size : at + 5]
    known = names.get(".".join(labels))
    [kind] = struct.unpack_from(">H", query, at + 1)
    addresses = known if known and kind == _ADDRESS else []
    records = b"".join(
        struct.pack(">HHHIH", 0xC000 | _HEADER.size, _ADDRESS, _INTERNET, _TIME_TO_LIVE, 4)
        + socket.inet_aton(address)
        for address in addresses
    )
    flags = 0x8580 | (0 if known else 3)  # an authority's answer; no such name
    return _HEADER.pack(number, flags, 1, len(addresses), 0, 0) + question + records
