"""HOST:PORT, the address of a server."""

from __future__ import annotations


def host_and_port(address: object) -> tuple[str, int]:
    """The host, without the brackets of an IPv6 address, and the port, 1 to 65535.

    Raises:
      ValueError: it is not HOST:PORT; the message names it.
    """
    host, _, port = address.rpartition(":") if isinstance(address, str) else ("", "", "")
    if not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
        raise ValueError(f"{address!r} is not HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)
