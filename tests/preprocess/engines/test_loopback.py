"""Ports of Beam's in a form that we do not know; what a build opens is in tests/test_sockets.py."""

import pytest

from preprocess.engines import loopback


def test_a_port_of_another_kind_is_not_opened_silently():
    server = loopback._Grpc(__import__("grpc")).server(None)
    with pytest.raises(RuntimeError, match="needs another remedy"):
        server.add_insecure_port("0.0.0.0:0")
