"""A tf.data service: the same batches as without it, whatever happens to its servers.

Real servers, started by the command, one of the two workers killed in the middle of a pass.
"""

import gc
import itertools
import os
import re
import signal
import socket
import time

import numpy as np
import pytest
import tensorflow as tf

from preprocess.dataset_format import Manifest
from preprocess.shell.errors import ConfigError, DataError, RestartError
from tests.trainer import datasets
from tests.trainer.data.services import PROXY, Server, servers
from trainer.data import service
from trainer.data.order import ReplicaSlice
from trainer.data.reader import open_reader
from trainer.training.evaluation import read_error


@pytest.fixture(scope="module")
def running():
    """A dispatcher and two workers."""
    with servers(2) as started:
        yield started


def reader_of(data, address="", **changes):
    config = datasets.configuration(datasets.CLASSIFICATION, data__service=address, **changes)
    return open_reader(data, Manifest.load(data), "train", config, training=True)


def same(left, right):
    return left.keys() == right.keys() and all(
        np.array_equal(left[key].numpy(), right[key].numpy()) for key in left
    )


@pytest.mark.slow
@pytest.mark.parametrize("part", [ReplicaSlice(0, 2, 2), ReplicaSlice(1, 1, 2)])
def test_the_batches_are_those_of_a_reader_without_a_service(running, class_data, part, capfd):
    """From step 1 of a pass of 3 on, over chunks of 64 batches; the service made all of them."""
    steps = 100
    expected = reader_of(class_data).dataset(1, part, steps)
    found = reader_of(class_data, running[0].address).dataset(1, part, steps)
    pairs = list(zip(expected, found, strict=True))
    assert len(pairs) == steps * part.count
    assert all(itertools.starmap(same, pairs))
    assert "did not arrive" not in capfd.readouterr().err


@pytest.mark.slow
def test_what_a_service_sends_is_one_cut(running, class_data):
    (cut,) = reader_of(class_data, running[0].address).cuts(ReplicaSlice(0, 2, 2))
    assert (cut.stage, cut.pictures_a_step, cut.once) == ("storage", 8, False)
    assert [int(count) for count in itertools.islice(cut.dataset(), 5)] == [4] * 5


@pytest.mark.slow
def test_pictures_of_several_sizes_are_stretched_by_the_workers(running, tmp_path):
    data = datasets.class_folders(tmp_path, "--encoding=png", "--shards=2", mixed=True)
    part = ReplicaSlice()
    expected = reader_of(data).dataset(0, part, 3)
    found = reader_of(data, running[0].address).dataset(0, part, 3)
    assert all(itertools.starmap(same, zip(expected, found, strict=True)))


@pytest.mark.slow
def test_one_of_two_workers_killed_in_a_pass_loses_no_record_and_repeats_none(class_data, capfd):
    """Killed at batch 90 of 300: 3 batches a pass, 21 records, so 100 passes."""
    expected = reader_of(class_data).dataset(0, ReplicaSlice(), 300)
    seen = []
    with servers(2) as (dispatcher, first, _):
        batches = reader_of(class_data, dispatcher.address).dataset(0, ReplicaSlice(), 300)
        for number, (left, right) in enumerate(zip(expected, batches, strict=True)):
            assert same(left, right)
            seen += [int(r) for r, w in zip(right["record"], right["weight"], strict=True) if w]
            if number == 90:
                first.end(signal.SIGKILL)
    passes = np.reshape(seen, (100, 21))
    assert (np.sort(passes) == np.arange(21)).all()
    said = capfd.readouterr().err
    # The killed one mostly was at something; what it was at is said to be read here.
    assert not said or "this process reads such batches itself" in said


@pytest.mark.slow
def test_a_service_that_is_gone_leaves_the_training_to_read_by_itself(
    class_data, capfd, monkeypatch
):
    monkeypatch.setattr(service, "STALL_SECONDS", 1.0)
    expected = reader_of(class_data).dataset(0, ReplicaSlice(), 200)
    with servers(1) as started:
        batches = reader_of(class_data, started[0].address).dataset(0, ReplicaSlice(), 200)
        for number, (left, right) in enumerate(zip(expected, batches, strict=True)):
            assert same(left, right)
            if number == 20:
                for server in started:
                    server.end(signal.SIGKILL)
    assert "this process reads such batches itself" in capfd.readouterr().err


@pytest.mark.slow
def test_a_damaged_record_is_named_as_without_a_service(running, class_data, tmp_path):
    from tests.trainer.data.test_picture_reader import damaged

    copy, file = damaged(class_data, tmp_path, "flipped")
    reader = reader_of(copy, running[0].address, data__variants=1)
    with pytest.raises(tf.errors.OpError) as caught:
        list(reader.dataset(0, ReplicaSlice(), 3))
    error = read_error(reader, caught.value)
    assert isinstance(error, DataError) and file in str(error)


@pytest.mark.slow
def test_training_through_a_service_gives_the_weights_of_training_without(
    running, class_data, tmp_path
):
    """Two epochs by the command, on two replicas; the machine is the same, so are the bits. The
    environment names a web proxy that answers nobody.
    """
    digests = []
    for name, address in (("plain", ""), ("served", running[0].address)):
        changes = {"data__service": address, "virtual_replicas": 2, "model__backbone": "mlp"}
        config = datasets.write_config(tmp_path / f"{name}.py", datasets.CLASSIFICATION, **changes)
        done = datasets.command(
            "trainer", "train", f"--config={config}", f"--data={class_data}",
            f"--workdir={tmp_path / name}", "--json", **PROXY,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert ("exact resume is not guaranteed" in done.stderr) == bool(address)
        digests.append(re.search(r'"weights_digest": "(\w+)"', done.stdout)[1])
    assert digests[0] == digests[1]


@pytest.mark.slow
def test_servers_end_cleanly_on_sigterm_and_warn_that_anyone_may_ask_them(tmp_path):
    dispatcher = Server("--role=dispatcher", f"--work_dir={tmp_path / 'new' / 'journal'}")
    worker = Server("--role=worker", f"--dispatcher={dispatcher.address}")
    assert "worker at localhost:" in worker.line
    for server in (worker, dispatcher):
        assert server.end(signal.SIGTERM) == 0
        assert "no authentication" in server.process.stderr.read()
    assert (tmp_path / "new" / "journal").is_dir()


def test_a_service_that_is_not_there_is_said_within_seconds(class_data):
    # TensorFlow takes up to 20 s to release an iterator of a test before, whose service is gone.
    gc.collect()
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"grpc://localhost:{free.getsockname()[1]}"
        started = time.monotonic()
        with pytest.raises(RestartError, match=r"no dispatcher responds there.*refused"):
            reader_of(class_data, address)
    assert time.monotonic() - started < service.CONNECT_SECONDS + 5


def test_something_else_at_the_address_is_said_within_the_limit():
    """A listener that never answers: TensorFlow alone would wait for ever."""
    with socket.create_server(("localhost", 0)) as other:
        address = f"grpc://localhost:{other.getsockname()[1]}"
        with pytest.raises(RestartError, match=r"no worker responded within 0\.5 s"):
            service.check_service(address, seconds=0.5)


def test_measuring_does_not_ask_the_service(class_data):
    config = datasets.configuration(datasets.CLASSIFICATION, data__service="grpc://localhost:1")
    reader = open_reader(class_data, Manifest.load(class_data), "test", config, training=False)
    assert len(list(reader.dataset(0, ReplicaSlice(), 2))) == 2


@pytest.mark.parametrize(
    ("base", "changes", "words"),
    [
        ("CLASSIFICATION", {"data__service": "host:5050"}, "takes grpc://HOST:PORT"),
        ("CLASSIFICATION", {"data__service": "grpc://host"}, "takes grpc://HOST:PORT"),
        ("CLASSIFICATION", {"data__service": "grpc://host:70000"}, "takes grpc://HOST:PORT"),
        ("TRIPLET", {"data__service": "grpc://host:5050"}, "with task triplet"),
        (
            "CLASSIFICATION",
            {"data__service": "grpc://host:5050", "deterministic": True},
            "deterministic",
        ),
        (
            "CLASSIFICATION",
            {"data__service": "grpc://host:5050", "data__image_table": "decoded"},
            "leave out one of the two",
        ),
    ],
)
def test_what_a_service_cannot_do_is_refused_with_the_configuration(base, changes, words):
    with pytest.raises(ConfigError, match=words):
        datasets.configuration(getattr(datasets, base), **changes)


def test_an_ipv6_address_is_one(class_data):
    config = datasets.configuration(datasets.CLASSIFICATION, data__service="grpc://[::1]:5050")
    assert service.service_address(config.data.service) == ("::1", 5050)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--role=worker"], "--dispatcher=(missing)"),
        (["--role=worker", "--dispatcher=grpc://h:1", "--work_dir=x"], "--work_dir is not for"),
        (["--role=dispatcher", "--advertise=h:1"], "--advertise is not for"),
    ],
)
def test_flags_of_the_other_role_are_refused(flags, words):
    done = datasets.command("trainer", "dataservice", *flags)
    assert done.returncode == os.EX_USAGE
    assert words in done.stderr and "Traceback" not in done.stderr


def test_a_worker_without_a_dispatcher_says_so_and_asks_to_be_started_again():
    done = datasets.command(
        "trainer", "dataservice", "--role=worker", "--port=0", "--dispatcher=grpc://localhost:1"
    )
    assert done.returncode == os.EX_TEMPFAIL
    assert "no dispatcher responds" in done.stderr and "Traceback" not in done.stderr
