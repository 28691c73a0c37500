"""One request: what is refused, what is bounded, and where a connection never goes."""

from __future__ import annotations

import socket

import pytest

from preprocess.download import addresses
from preprocess.download.addresses import is_public
from preprocess.download.web_client import FetchError, Limits, fetch, host_of

OPEN = Limits(1 << 20, 20.0, allow_private=True)
CLOSED = Limits(1 << 20, 20.0, allow_private=False)


def reason(url, limits=OPEN):
    with pytest.raises(FetchError) as caught:
        fetch(url, limits)
    return caught.value.reason


def test_a_picture_comes_as_it_is_also_behind_redirects(web):
    assert fetch(f"{web.url}/1.jpg", OPEN) == web.files["/1.jpg"]
    assert fetch(f"{web.url}/to//2.jpg", OPEN) == web.files["/2.jpg"]
    assert fetch(f"{web.url}/to/{web.url}/3.jpg", OPEN) == web.files["/3.jpg"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/nothing.jpg", "http_404"),
        ("/status/403", "http_403"),
        ("/loop", "too_many_redirects"),
        ("/to/", "bad_answer"),
        ("/to/file:///etc/passwd", "bad_url"),
        ("/to/ftp://host/1.jpg", "bad_url"),
        ("/robots.jpg", "not_for_training"),
        ("/cut.jpg", "no_connection"),
    ],
)
def test_what_does_not_come_has_a_reason(web, path, expected):
    assert reason(f"{web.url}{path}") == expected


@pytest.mark.parametrize(
    "url",
    ["", "x", "file:///etc/passwd", "ftp://h/1", "http://", "http://h:x/", "http://h:0/", "//h/1"],
)
def test_other_than_http_is_no_url(url):
    with pytest.raises(FetchError, match="bad_url"):
        host_of(url)


def test_a_size_is_not_exceeded_whatever_the_server_says(web):
    small = Limits(100, 20.0, allow_private=True)
    assert reason(f"{web.url}/1.jpg", small) == "too_large"


@pytest.mark.parametrize("path", ["/slow.jpg", "/slow-header.jpg"])
def test_a_server_that_sends_a_byte_now_and_then_is_left(web, path):
    """Each byte comes well within any time limit of a read."""
    assert reason(f"{web.url}{path}", Limits(1 << 20, 0.3, allow_private=True)) == "no_connection"


def test_a_busy_server_is_known_to_be_busy(web):
    with pytest.raises(FetchError) as caught:
        fetch(f"{web.url}/busy.jpg", OPEN)
    assert (caught.value.reason, caught.value.passing) == ("http_503", True)


# --- addresses


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0"),
        *("100.64.0.1", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1"),
        *("ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1"),
        *("2002:7f00:1::", "2002:a00:1::"),
    ],
)
def test_addresses_of_networks_and_machines_are_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_addresses_of_the_internet_are_public(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "[::1]", "0.0.0.0"]
)
def test_this_machine_is_not_asked_under_any_of_its_names(web, host):
    assert reason(f"http://{host}:{web.port}/1.jpg", CLOSED) == "private_address"
    assert not web.asked


@pytest.fixture
def only_first_is_public(monkeypatch):
    """127.0.0.1 stands for a public address, 127.0.0.2 for a private one."""
    monkeypatch.setattr(addresses, "is_public", lambda address: address == "127.0.0.1")


def test_a_redirect_does_not_lead_to_a_private_address(web, only_first_is_public):
    assert fetch(f"{web.url}/1.jpg", CLOSED) == web.files["/1.jpg"]
    target = f"http://127.0.0.2:{web.port}/2.jpg"
    assert reason(f"{web.url}/to/{target}", CLOSED) == "private_address"
    assert "/2.jpg" not in web.asked


def test_the_address_that_was_looked_at_is_the_one_that_is_asked(
    web, only_first_is_public, monkeypatch
):
    """A name server that answers otherwise the second time (DNS rebinding) is not asked twice."""
    answers = []

    def resolve(host, port, **_):
        answers.append("127.0.0.1" if not answers else "127.0.0.2")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answers[-1], port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert fetch(f"http://rebound.test:{web.port}/1.jpg", CLOSED) == web.files["/1.jpg"]
    assert answers == ["127.0.0.1"]
    assert reason(f"http://rebound.test:{web.port}/1.jpg", CLOSED) == "private_address"


def test_a_host_of_which_one_address_is_private_is_refused(web, only_first_is_public, monkeypatch):
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, web.port))
        for address in ("127.0.0.1", "127.0.0.2")
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert reason(f"http://both.test:{web.port}/1.jpg", CLOSED) == "private_address"


def test_a_host_that_is_not_there_is_not_asked_again(monkeypatch):
    def resolve(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(FetchError) as caught:
        fetch("http://gone.test/1.jpg", CLOSED)
    assert (caught.value.reason, caught.value.passing) == ("no_such_host", False)
