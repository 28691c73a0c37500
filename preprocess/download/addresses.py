"""Connections to public addresses only, whatever a URL, a redirect or a name server says.

A host is resolved once for each connection, every address that it has is looked at, and the
connection goes to one that was looked at: a name that resolves to another address a moment later
(DNS rebinding) gains nothing.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading

MOST_ADDRESSES = 3  # of a host that are tried
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # an IPv4 address in its last 32 bits


class PrivateAddressError(Exception):
    """A host that is, or resolves to, an address of a private network or of this machine."""


def is_public(address: str) -> bool:
    """Whether an IP address is one of the internet; those that hold another one are judged by it,
    too.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
        if ip in _NAT64:
            inner.append(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
        if any(v4 is not None and not is_public(str(v4)) for v4 in inner):
            return False
        if ip.ipv4_mapped is not None:
            return True
    return ip.is_global and not ip.is_multicast


def connect(host: str, port: int, seconds: float, allow_private: bool) -> socket.socket:
    """A connection to a host. Raises PrivateAddressError, and OSError if none comes about."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    if not allow_private:
        for *_, address in found:
            if not is_public(str(address[0])):
                raise PrivateAddressError(
                    f"{host} has the address {address[0]}, which is not public"
                )
    error: OSError = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in found[:MOST_ADDRESSES]:
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(seconds)
            connection.connect(address)
            return connection
        except OSError as refused:
            connection.close()
            error = refused
    raise error


class Connection(http.client.HTTPConnection):
    """An HTTP or HTTPS connection made by connect(), cut after that many seconds whatever the
    server sends meanwhile. Proxies are not used.
    """

    def __init__(
        self, host: str, port: int, seconds: float, tls: ssl.SSLContext | None, allow_private: bool
    ) -> None:
        super().__init__(host, port, timeout=seconds)
        self.is_cut = False
        self._seconds = seconds
        self._tls = tls
        self._allow_private = allow_private
        self._timer: threading.Timer | None = None
        self._handle: socket.socket | None = None

    def connect(self) -> None:
        """See http.client."""
        self.sock = connect(self.host, self.port, self._seconds, self._allow_private)
        self._handle = self.sock.dup()  # stays what it is while TLS and http.client pass theirs on
        self._timer = threading.Timer(self._seconds, self._cut)
        self._timer.daemon = True
        self._timer.start()
        if self._tls:
            # The certificate is checked against the host that was asked for.
            self.sock = self._tls.wrap_socket(self.sock, server_hostname=self.host)

    def end(self) -> None:
        """Closes the connection for good."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()
        self.close()
        if self._handle is not None:
            self._handle.close()

    def _cut(self) -> None:
        self.is_cut = True
        if self._handle is not None:
            with contextlib.suppress(OSError):
                self._handle.shutdown(socket.SHUT_RDWR)
