"""An address that a registry names is asked only where nobody could mean harm by it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from launch.checks import image as image_check
from launch.checks.image import image
from launch.checks.result import WARNING
from tests.launch.checks.test_check import Server

DIGEST = "sha256:" + "0" * 64
PATH = f"/v2/app/manifests/{DIGEST}"


def serve() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def registry() -> Iterator[Server]:
    yield from serve()


@pytest.fixture
def internal() -> Iterator[Server]:
    """Another server of this machine, which nobody but the registry has named."""
    for made in serve():
        made.answers["GET", "/admin"] = (200, {}, b'{"token": "internal"}')
        yield made


def ask(registry: Server) -> tuple[str, list[tuple[str, str, str]]]:
    """The check's result, and what the registry was sent."""
    return image(f"{registry.place}/app@{DIGEST}").state, registry.asked


def test_another_address_is_not_asked_for_a_token(registry, internal):
    challenge = {"WWW-Authenticate": f'Bearer realm="http://{internal.place}/admin",service="x"'}
    registry.answers["HEAD", PATH] = (401, challenge, b"")
    assert ask(registry) == (WARNING, [("HEAD", PATH, "")])
    assert internal.asked == []


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(registry, internal, status):
    registry.answers["HEAD", PATH] = (status, {"Location": f"http://{internal.place}/admin"}, b"")
    assert ask(registry)[0] == WARNING
    assert internal.asked == []


def test_nor_is_that_of_the_address_for_tokens(registry, internal):
    challenge = {"WWW-Authenticate": f'Bearer realm="http://{registry.place}/token",service="x"'}
    registry.answers["HEAD", PATH] = (401, challenge, b"")
    registry.answers["GET", "/token"] = (302, {"Location": f"http://{internal.place}/admin"}, b"")
    assert ask(registry)[0] == WARNING
    assert internal.asked == []


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "fd00::1",
                                     "::ffff:10.0.0.1", "100.64.0.1", "0.0.0.0"])  # fmt: skip
def test_https_at_an_address_behind_the_firewall_is_not_asked(monkeypatch, address):
    found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert not image_check._may_ask("https://auth.example/token", "https://registry.example/v2/x")


@pytest.mark.parametrize(
    ("realm", "asked"),
    [
        ("https://auth.example/token", True),
        ("http://auth.example/token", False),
        ("https://registry.example/token", True),
        ("http://registry.example/token", False),
        ("https://registry.example:8443/token", True),
        ("file:///etc/passwd", False),
        ("https://", False),
    ],
)
def test_a_public_address_is_asked_over_https(monkeypatch, realm, asked):
    found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("8.8.8.8", 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert image_check._may_ask(realm, "https://registry.example/v2/x") == asked


@pytest.mark.parametrize("body", [b"[]", b"3", b"{", b'{"token": 3}', b"[" * 100_000,
                                  b'{"token": "a\\r\\nHost: other"}', b"\xff"])  # fmt: skip
def test_an_answer_that_holds_no_token_tells_nothing(registry, body):
    challenge = {"WWW-Authenticate": f'Bearer realm="http://{registry.place}/token",service="x"'}
    registry.answers["HEAD", PATH] = (401, challenge, b"")
    registry.answers["GET", "/token"] = (200, {}, body)
    assert ask(registry)[0] == WARNING


def raw_server(send: Any) -> tuple[socket.socket, str]:
    """A server whose one connection is handed to `send`."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        connection, _ = listener.accept()
        with connection:
            send(connection)

    threading.Thread(target=run, daemon=True).start()
    return listener, f"127.0.0.1:{listener.getsockname()[1]}"


def test_an_answer_that_is_no_http_tells_nothing():
    listener, place = raw_server(lambda connection: connection.sendall(b"SSH-2.0-x\r\n"))
    with listener:
        assert image(f"{place}/app@{DIGEST}").state == WARNING


def test_a_registry_that_drips_is_given_up(monkeypatch):
    monkeypatch.setattr(image_check, "ALL_SECONDS", 0.3)
    done = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while not done.wait(0.05):
            connection.sendall(b"X-Header: x\r\n")

    listener, place = raw_server(drip)
    with listener:
        result = image(f"{place}/app@{DIGEST}")
        done.set()
    assert (result.state, "no response within" in result.message) == (WARNING, True)
