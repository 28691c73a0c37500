"""HOST:PORT."""

from __future__ import annotations

import pytest

from preprocess.shell.address import host_and_port


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("localhost:1", ("localhost", 1)),
        ("run-0.run.team.svc:65535", ("run-0.run.team.svc", 65535)),
        ("[::1]:5050", ("::1", 5050)),
    ],
)
def test_host_and_port_are_split(address, expected):
    assert host_and_port(address) == expected


@pytest.mark.parametrize(
    "address", ["", "host", ":1", "host:", "host:0", "host:65536", "host:-1", "host:²", None, 5]
)
def test_what_is_no_address_is_named(address):
    with pytest.raises(ValueError, match="is not HOST:PORT") as refused:
        host_and_port(address)
    assert repr(address) in str(refused.value)
