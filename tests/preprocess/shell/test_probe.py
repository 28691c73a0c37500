"""Servers that answer, whatever they say, and names that are looked up without end."""

import socket
import threading
import urllib.request

import pytest

from preprocess.shell.probe import probe


@pytest.fixture
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def test_a_lookup_that_hangs_is_given_up_in_time(monkeypatch):
    """The socket's own limit does not cover names: here the lookup waits for the test's end."""
    done = threading.Event()

    def wait(*_, **__):
        done.wait(30)
        raise OSError("too late")

    monkeypatch.setattr(urllib.request, "urlopen", wait)
    assert probe("https://example.invalid/", seconds=0.1) == "no answer within 0.1 s"
    done.set()


@pytest.mark.parametrize("status", [200, 403, 404, 405])
def test_any_answer_of_a_server_will_do(status, no_proxy):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode())

        thread = threading.Thread(target=answer)
        thread.start()
        assert probe(f"http://127.0.0.1:{server.getsockname()[1]}/x", 5) is None
        thread.join()
