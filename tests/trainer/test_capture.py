"""The server that takes traces on demand, and the command that asks it."""

import concurrent.futures
import contextlib
import http.client
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time

import pytest

from tests.trainer import datasets
from trainer import capture
from trainer.capture import HEADER, PATH, CaptureServer, capture_server
from trainer.capture_client import ask
from trainer.errors import ConfigError, RestartError, UnavailableError, UsageError
from trainer.gang import free_ports

ASKED = json.dumps({"calls": 10, "timeout": 30})
HEADERS = {HEADER: "1"}
DEADLINE = 30.0


class Loop:
    """Stands for the training loop: takes requests when told to."""

    def __init__(self):
        self._there = threading.Event()
        self._request = None

    @property
    def request(self):
        return self._request

    @request.setter
    def request(self, request):
        self._request = request
        if request:
            self._there.set()

    def take(self, trace="/run/trace", steps=(5, 14), problem=""):
        """Answers the next request; returns how many calls it wants."""
        assert self._there.wait(DEADLINE)
        self._there.clear()
        request, self._request = self._request, None
        request.trace, request.steps, request.problem = trace, steps, problem
        request.done.set()
        return request.calls

    def until_asked(self):
        assert self._there.wait(DEADLINE)


@pytest.fixture
def loop():
    return Loop()


@pytest.fixture
def port(loop):
    (found,) = free_ports(1)
    with CaptureServer("localhost", found, loop):
        yield found


@pytest.fixture
def elsewhere():
    """A thread for what waits for an answer."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        yield pool


def send(port, body=ASKED, headers=HEADERS, method="POST", path=PATH):
    """(status, answer) of one request."""
    connection = http.client.HTTPConnection("localhost", port, timeout=DEADLINE)
    with contextlib.closing(connection):
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        data = response.read()
        return response.status, json.loads(data) if method == "POST" else data


def test_a_capture_is_answered_when_the_trace_is_written(port, loop, elsewhere):
    answer = elsewhere.submit(send, port)
    assert loop.take() == 10
    assert answer.result() == (200, {"trace": "/run/trace", "steps": [5, 14]})


def test_one_capture_at_a_time(port, loop, elsewhere):
    first = elsewhere.submit(send, port)
    loop.until_asked()
    status, answer = send(port)
    assert status == 409 and "another capture" in answer["error"]
    loop.take()
    assert first.result()[0] == 200
    second = elsewhere.submit(send, port)
    loop.take()
    assert second.result()[0] == 200


def test_what_does_not_run_in_time_is_withdrawn(port, loop):
    status, answer = send(port, json.dumps({"calls": 10, "timeout": 0.05}))
    assert status == 504 and "within 0.05 s" in answer["error"]
    assert loop.request is None


def test_a_fault_of_the_profiler_is_told(port, loop, elsewhere):
    answer = elsewhere.submit(send, port)
    loop.take(problem="no trace was taken: busy")
    assert answer.result() == (503, {"error": "no trace was taken: busy"})


def test_the_end_of_the_run_is_told_and_takes_the_server_with_it(loop, elsewhere):
    (port,) = free_ports(1)
    with CaptureServer("localhost", port, loop):
        answer = elsewhere.submit(send, port)
        loop.until_asked()
    assert answer.result() == (503, {"error": "the run has ended"})
    with pytest.raises(ConnectionRefusedError):
        send(port)


@pytest.mark.parametrize(
    ("status", "request_"),
    [
        (403, {"headers": {}}),
        (403, {"headers": {"Content-Type": "application/json"}}),
        (403, {"headers": {**HEADERS, "Origin": "http://localhost:16010"}}),
        (404, {"path": "/"}),
        (404, {"path": PATH + "/.."}),
        (411, {"headers": {**HEADERS, "Content-Length": "-1"}}),
        (413, {"headers": {**HEADERS, "Content-Length": "1001"}}),
        (413, {"headers": {**HEADERS, "Content-Length": "9" * 5000}}),
        (413, {"headers": {**HEADERS, "Content-Length": "0000000000005000000"}}),
        (413, {"headers": {**HEADERS, "Content-Length": "00019"}}),
        (400, {"body": ""}),
        (400, {"body": "[]"}),
        (400, {"body": "{"}),
        (400, {"body": "[" * 999}),
        (400, {"body": b"\xff\xfe"}),
        (400, {"body": '{"calls": 10}'}),
        (400, {"body": '{"calls": 4, "timeout": 5}'}),
        (400, {"body": '{"calls": 101, "timeout": 5}'}),
        (400, {"body": '{"calls": true, "timeout": 5}'}),
        (400, {"body": '{"calls": "10", "timeout": 5}'}),
        (400, {"body": '{"calls": 10, "timeout": 0}'}),
        (400, {"body": '{"calls": 10, "timeout": 601}'}),
        (400, {"body": '{"calls": 10, "timeout": NaN}'}),
    ],
)
def test_what_is_no_capture_is_refused_and_reaches_no_loop(port, loop, status, request_):
    """A page in a browser cannot send the header to another site, and always sends Origin."""
    found, answer = send(port, **request_)
    assert found == status and answer["error"]
    assert loop.request is None


HEAD = f"POST {PATH} HTTP/1.0\r\n{HEADER}: 1\r\n"


@contextlib.contextmanager
def dripping(port, begun, byte):
    """A client that has sent the beginning of a request, and goes on with a byte at a time.

    Yields its connection when a thread of the server reads it. Whatever is wrong, it ends.
    """
    over = threading.Event()

    def drip():
        with contextlib.suppress(OSError):
            until = time.monotonic() + DEADLINE
            while not over.wait(0.02) and time.monotonic() < until:
                connection.sendall(byte)

    with socket.create_connection(("localhost", port), timeout=DEADLINE) as connection:
        connection.sendall(begun.encode())
        thread = threading.Thread(target=drip)
        thread.start()
        try:
            until = time.monotonic() + DEADLINE
            while not any("process_request" in each.name for each in threading.enumerate()):
                assert time.monotonic() < until
                over.wait(0.01)
            yield connection
        finally:
            over.set()
            thread.join()


DRIPS = pytest.mark.parametrize(
    ("begun", "byte"),
    [
        ("PO", b"S"),
        (f"{HEAD}X-Drip: ", b"a"),
        (f"{HEAD}Content-Length: 1000\r\n\r\n", b" "),
        ("", b""),  # nothing at all
    ],
    ids=["request", "headers", "body", "silence"],
)


@DRIPS
def test_a_client_that_drips_does_not_hold_up_the_end_of_a_run(loop, capfd, begun, byte):
    """A byte comes often enough for any one reading, and silence is waited for 10 s."""
    (port,) = free_ports(1)
    server = CaptureServer("localhost", port, loop)
    with contextlib.ExitStack() as clients:
        with server:
            clients.enter_context(dripping(port, begun, byte))
            leaving = time.monotonic()
        assert time.monotonic() - leaving < 5
    assert loop.request is None
    assert "Traceback" not in capfd.readouterr().err


@DRIPS
def test_a_request_has_a_deadline_in_all(loop, monkeypatch, begun, byte):
    """0.3 s instead of 10, of which a single reading still may take all."""
    monkeypatch.setattr(capture, "_READ_SECONDS", 0.3)
    (port,) = free_ports(1)
    with (
        CaptureServer("localhost", port, loop),
        dripping(port, begun, byte) as connection,
        contextlib.suppress(ConnectionError),
    ):
        began = time.monotonic()
        while connection.recv(4096):
            pass
    assert time.monotonic() - began < 5
    assert loop.request is None


def test_a_client_that_is_gone_when_its_answer_comes_is_no_news(loop, capfd):
    """Its end has reset the connection, so that sending fails."""
    (port,) = free_ports(1)
    with CaptureServer("localhost", port, loop):
        with socket.create_connection(("localhost", port), timeout=DEADLINE) as connection:
            reset = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            head = f"{HEAD}Content-Length: {len(ASKED)}\r\n\r\n{ASKED}"
            connection.sendall(head.encode())
            loop.until_asked()
        loop.take()
    assert capfd.readouterr().err == ""


def test_a_client_that_waits_for_its_trace_has_all_the_time_it_asked_for(
    port, loop, elsewhere, monkeypatch
):
    """Only the reading of a request is limited, here to 0.2 s."""
    monkeypatch.setattr(capture, "_READ_SECONDS", 0.2)
    answer = elsewhere.submit(send, port)
    loop.until_asked()
    with pytest.raises(concurrent.futures.TimeoutError):
        answer.result(timeout=0.6)
    loop.take()
    assert answer.result()[0] == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT"])
def test_there_is_only_post(port, method):
    assert send(port, method=method)[0] == 501


def test_it_listens_on_this_machine_alone_unless_told_otherwise(loop):
    config = datasets.configuration(datasets.TRIPLET, profile__port=free_ports(1)[0])
    said = []
    server = capture_server(config, 0, loop, said.append)
    with contextlib.closing(server.socket):
        assert server.socket.getsockname()[0] == "127.0.0.1"
    assert not [words for words in said if "warning" in words]


def test_another_address_is_warned_of(loop):
    config = datasets.configuration(
        datasets.TRIPLET, profile__port=free_ports(1)[0], profile__host="0.0.0.0"
    )
    said = []
    server = capture_server(config, 0, loop, said.append)
    with contextlib.closing(server.socket):
        assert "warning: profile.host=0.0.0.0" in said[0]


def test_a_worker_listens_at_its_own_port(loop):
    first, _ = free_ports(2)
    config = datasets.configuration(datasets.TRIPLET, profile__port=first - 1)
    server = capture_server(config, 1, loop, lambda _: None)
    with contextlib.closing(server.socket):
        assert server.socket.getsockname()[1] == first


def test_no_port_no_server(loop):
    assert capture_server(datasets.configuration(datasets.TRIPLET), 0, loop, print) is None


def test_a_port_in_use_is_a_bad_configuration(port, loop):
    with pytest.raises(ConfigError, match=f"port {port} of profile.host=localhost.*in use"):
        CaptureServer("localhost", port, loop)


@pytest.mark.parametrize(("host", "port"), [("no.such.host.invalid", 6010), ("localhost", 65_536)])
def test_an_address_that_cannot_be_is_a_bad_configuration(loop, host, port):
    with pytest.raises(ConfigError, match=r"profile\.port: cannot listen"):
        CaptureServer(host, port, loop)


def test_the_command_prints_where_the_trace_is(port, loop, elsewhere):
    taken = elsewhere.submit(loop.take)
    done = datasets.command("trainer", "capture", f"localhost:{port}", "--calls=7")
    assert taken.result() == 7
    assert done.stdout == "/run/trace: steps 5 to 14\n"
    elsewhere.submit(loop.take)
    done = datasets.command("trainer", "capture", f"http://localhost:{port}/", "--json")
    assert json.loads(done.stdout) == {"trace": "/run/trace", "steps": [5, 14]}
    done = datasets.command("trainer", "capture", "a:1", "b:2")
    assert done.returncode == 64
    assert "takes one HOST:PORT" in done.stderr


@pytest.mark.parametrize(
    "address",
    [
        "localhost",
        "localhost:0",
        "localhost:65536",
        "localhost:port",
        "ftp://localhost:6010",
        "local host:6010",
    ],
)
def test_a_malformed_address_is_bad_usage(address):
    with pytest.raises(UsageError, match="HOST:PORT"):
        ask(address, 10, 60)


def test_an_address_that_does_not_answer_is_unavailable():
    (free,) = free_ports(1)
    with pytest.raises(UnavailableError, match="does not answer") as caught:
        ask(f"localhost:{free}", 10, 60)
    assert caught.value.exit_code == os.EX_UNAVAILABLE == 69


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (b"", RestartError),  # it closed the connection: the process has ended
        (b"220 mail.example.org ESMTP\r\n", UnavailableError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhey!", UnavailableError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", UnavailableError),
    ],
)
def test_what_is_no_training_is_told_apart_from_one_that_ended(elsewhere, sent, error):
    with socket.create_server(("localhost", 0)) as server:

        def serve():
            connection, _ = server.accept()
            with connection:
                connection.recv(10_000)
                connection.sendall(sent)

        elsewhere.submit(serve)
        with pytest.raises(error):
            ask(f"localhost:{server.getsockname()[1]}", 10, 60)


def test_a_run_that_takes_no_trace_may_be_asked_again(port, loop, elsewhere):
    elsewhere.submit(loop.take, problem="the run has ended")
    with pytest.raises(RestartError, match="the run has ended") as caught:
        ask(f"localhost:{port}", 10, 60)
    assert caught.value.exit_code == 75


def test_the_command_starts_without_tensorflow():
    """It may be typed while a GPU is full."""
    code = "import sys, trainer.commands.capture; print('tensorflow' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=datasets.REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"
