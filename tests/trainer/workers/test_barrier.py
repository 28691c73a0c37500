"""The start of several workers, with real sockets of this machine."""

import dataclasses
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from preprocess.shell.errors import ConfigError, LostPeerError, UnavailableError
from trainer.workers import barrier
from trainer.workers.barrier import is_listening, wait_for_peers
from trainer.workers.cluster import Cluster
from trainer.workers.supervisor.processes import START_TOKEN, free_ports, new_start

SOON = 0.7  # seconds that those wait who wait in vain
LONG = 20.0  # never reached


def crowd(size):
    """A cluster as each of its workers sees it."""
    addresses = tuple(f"localhost:{port}" for port in free_ports(size))
    return [Cluster((("worker", size),), addresses, rank) for rank in range(size)]


def outcome(cluster, seconds, said):
    """None where all came, else what ended the wait."""
    try:
        wait_for_peers(cluster, seconds, said.append)
    except (LostPeerError, ConfigError, UnavailableError) as error:
        return error
    return None


def test_workers_that_come_one_after_the_other_all_go_on():
    said = []
    with ThreadPoolExecutor() as pool:
        waiting = []
        for cluster in crowd(3):
            assert not any(each.done() for each in waiting)
            waiting.append(pool.submit(outcome, cluster, LONG, said))
            time.sleep(0.3)  # the others are in the midst of it, and must not get through
        assert [each.result(LONG) for each in waiting] == [None, None, None]
    assert said == []


def test_a_worker_that_never_comes_is_named_to_all_within_the_bound():
    clusters = crowd(3)
    started = time.monotonic()
    with ThreadPoolExecutor() as pool:
        errors = list(pool.map(lambda each: outcome(each, SOON, []), clusters[:2]))
    assert time.monotonic() - started < LONG
    for error in errors:
        assert isinstance(error, LostPeerError) and error.exit_code == 76
        assert clusters[0].name(2) in str(error) and "connection refused" in str(error)
        assert "watchdog.start_seconds" in str(error)
        assert clusters[0].name(0) not in str(error) and clusters[0].name(1) not in str(error)


def test_a_name_that_does_not_resolve_is_said():
    (cluster, _) = crowd(2)
    lost = dataclasses.replace(cluster, addresses=(cluster.addresses[0], "nowhere.invalid:2222"))
    error = outcome(lost, SOON, [])
    assert "nowhere.invalid:2222" in str(error) and "does not resolve" in str(error)


def test_what_is_no_worker_is_not_taken_for_one():
    """A port that takes connections and says something else: an earlier life, or a stranger."""
    cluster, peer = crowd(2)
    host, port = peer.addresses[1].split(":")
    with socket.create_server((host, int(port))) as server:

        def answer():
            while True:
                try:
                    caller, _ = server.accept()
                except OSError:
                    return
                with caller:
                    caller.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        error = outcome(cluster, SOON, [])
        server.shutdown(socket.SHUT_RDWR)
    assert isinstance(error, LostPeerError)
    assert "another program, or an earlier attempt" in str(error)


def test_a_worker_of_another_cluster_ends_the_wait_with_78():
    """Worker 1 was told of a third one, worker 0 was not, and gives up before the other does."""
    two = crowd(2)
    third = f"localhost:{free_ports(1)[0]}"
    other = Cluster((("worker", 3),), (*two[1].addresses, third), 1)
    with ThreadPoolExecutor() as pool:
        waits = ((two[0], SOON), (other, 4 * SOON))
        errors = list(pool.map(lambda each: outcome(each[0], each[1], []), waits))
    assert isinstance(errors[0], ConfigError)
    assert "has another TF_CONFIG" in str(errors[0]) and two[0].name(1) in str(errors[0])


def test_an_own_port_that_is_taken_is_said_within_the_bound():
    cluster, _ = crowd(2)
    host, port = cluster.addresses[0].split(":")
    with socket.create_server((host, int(port))):
        error = outcome(cluster, SOON, [])
    assert isinstance(error, UnavailableError)
    assert f"port {port}" in str(error) and "address already in use" in str(error)


def test_noise_and_silence_at_the_port_do_not_disturb_the_start():
    """A caller that sends garbage, one that hangs up, one that sends too much."""
    clusters = crowd(2)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(outcome, clusters[0], LONG, [])
        host, port = clusters[0].addresses[0].split(":")
        deadline = time.monotonic() + LONG
        while not is_listening(clusters[0].addresses[0]):
            assert time.monotonic() < deadline
        for noise in (b"\xff\x00\n", b"", b"x" * 100_000, b"shardline x y z\n"):
            with socket.create_connection((host, int(port))) as caller:
                caller.sendall(noise)
        assert not first.done()
        second = pool.submit(outcome, clusters[1], LONG, [])
        assert [first.result(LONG), second.result(LONG)] == [None, None]


def test_who_calls_tensorflow_too_early_is_hung_up_on_when_the_start_is_over(monkeypatch):
    """A peer that went on first calls TensorFlow at the port on which this one still listens, and
    says what HTTP/2 begins with. Left to a thread, its connection would stay as long as TensorFlow
    holds the interpreter lock, which it does until that very peer has come: for ever.
    """
    monkeypatch.setattr(barrier, "_CALL_SECONDS", 3 * LONG)
    first, second = crowd(2)
    host, port = first.addresses[0].split(":")
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(outcome, first, LONG, [])
        while not is_listening(first.addresses[0]):
            time.sleep(0.01)
        with socket.create_connection((host, int(port))) as early:
            early.sendall(b"PRI * HTTP/2.0\r\r\r\rSM")  # no line of ours, and no end of one
            assert outcome(second, LONG, []) is None
            assert waiting.result(LONG) is None
            early.settimeout(LONG)  # which is before its call would be given up
            assert early.recv(1) == b""


def test_a_closed_port_is_not_listening():
    (port,) = free_ports(1)
    assert not is_listening(f"localhost:{port}")
    with socket.create_server(("localhost", port)):
        assert is_listening(f"localhost:{port}")


def test_strangers_who_drip_a_byte_at_a_time_keep_nobody_waiting():
    """Each would stay for minutes where only single reads had a limit."""
    clusters = crowd(2)
    done = threading.Event()

    def drip(address):
        host, port = address.rsplit(":", 1)
        while not done.is_set():
            try:
                with socket.create_connection((host, int(port))) as stranger:
                    while not done.wait(0.1):
                        stranger.sendall(b"x")
            except OSError:
                done.wait(0.02)  # nobody listens there yet, or we were hung up on

    with ThreadPoolExecutor() as pool:
        strangers = [pool.submit(drip, address) for address in clusters[0].addresses * 2]
        waiting = [pool.submit(outcome, cluster, LONG, []) for cluster in clusters]
        try:
            assert [each.result(LONG) for each in waiting] == [None, None]
        finally:
            done.set()
        for stranger in strangers:
            stranger.result(LONG)


def test_a_worker_without_the_token_of_the_start_is_not_taken_for_a_peer(monkeypatch):
    """The digest of a stranger who knows all addresses is another one."""
    cluster, _ = crowd(2)
    monkeypatch.setenv(START_TOKEN, "one start")
    ours = cluster.digest
    monkeypatch.setenv(START_TOKEN, "another start")
    assert cluster.digest != ours
    monkeypatch.delenv(START_TOKEN)
    assert cluster.digest != ours


def test_each_start_of_a_group_has_a_token_of_its_own():
    tokens = {new_start()[START_TOKEN] for _ in range(5)}
    assert len(tokens) == 5
    assert all(len(token) == 32 for token in tokens)
