"""gRPC of TensorFlow's does without the web's proxies, and a proxy of its own is named."""

import os

import tensorflow as tf

from trainer.compat.grpc_proxy import VARIABLE, bypass_proxies, proxy_note
from trainer.workers.worker_group import lost_peer


def test_the_web_s_proxies_are_not_for_grpc(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv(VARIABLE, raising=False)
    with monkeypatch.context() as patch:
        patch.setenv(VARIABLE, "put back afterwards")
        patch.delenv(VARIABLE)
        bypass_proxies()
        assert os.environ[VARIABLE] == "" and os.environ["http_proxy"]
        assert proxy_note() == ""


def test_where_no_proxy_is_set_the_environment_is_left_alone(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", VARIABLE):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    bypass_proxies()
    assert VARIABLE not in os.environ


def test_a_proxy_of_grpc_s_own_stands_and_a_lost_worker_names_it(monkeypatch):
    monkeypatch.setenv(VARIABLE, "http://127.0.0.1:9")
    bypass_proxies()
    error = lost_peer(tf.errors.UnavailableError(None, None, "Collective ops is aborted by: x"))
    assert f"{VARIABLE}=http://127.0.0.1:9 sends" in str(error)
    assert "no_grpc_proxy" in str(error)


def test_without_one_nothing_is_said_of_it(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert "proxy" not in str(lost_peer(tf.errors.UnavailableError(None, None, "gone")))
