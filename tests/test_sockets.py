"""Every socket of every command: the table of docs/security.md, looked at in running processes.

A command is watched from outside, with all processes below it, until it ends or listens as long
as it lives. What is in the table has to be seen, and nothing else may be.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from tests import forked
from tests.preprocess import made
from tests.trainer import datasets

ROOT = Path(__file__).resolve().parent.parent
NOTHING, LOOPBACK, EVERYWHERE = "nothing", "loopback", "all interfaces"
SECONDS = 240.0  # of a command, on a busy machine
SERVING_SECONDS = 2.0  # a server is watched after it was first seen listening
ROW = re.compile(r"^\| (`[^|]+) \| ([^|;]+)[^|]* \| [^|]+ \|$", re.MULTILINE)


def documented() -> dict[str, str]:
    """Command -> where it listens, of the table below `## Sockets`."""
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    return {
        row[1].replace("`", "").strip(): row[2].strip()
        for row in ROW.finditer(text.partition("## Sockets")[2].partition("\n## ")[0])
    }


def tree(process: psutil.Process) -> Iterator[psutil.Process]:
    """A process and all below it that are still there."""
    yield process
    try:
        yield from process.children(recursive=True)
    except psutil.NoSuchProcess:
        return


def reached_by(process: psutil.Process) -> set[str]:
    """Who could reach the TCP ports that a process listens on, and the UDP ports that it has."""
    found = set()
    for connection in process.net_connections("inet"):
        waits_for_anybody = connection.type == socket.SOCK_DGRAM and not connection.raddr
        if connection.status == psutil.CONN_LISTEN or waits_for_anybody:
            address = ipaddress.ip_address(connection.laddr.ip)
            mapped = getattr(address, "ipv4_mapped", None) or address
            found.add(LOOPBACK if mapped.is_loopback else EVERYWHERE)
    return found


def watch(command: Sequence[str], serves: bool = False) -> str:
    """Where `python -m COMMAND` listens: the most exposed of all that was seen.

    Args:
      command: module and arguments.
      serves: it ends when it is told to, and is, a while after it was seen listening.
    """
    with forked.Popen(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as started:
        seen: set[str] = set()
        begun, listening_since = time.monotonic(), None
        root = psutil.Process(started.pid)
        while started.poll() is None:
            now = time.monotonic()
            assert now - begun < SECONDS, f"{command} does not end; it listens on {seen}"
            for process in tree(root):
                try:
                    seen |= reached_by(process)
                except (psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError):
                    continue
            if serves and seen:
                listening_since = listening_since or now
                if now - listening_since > SERVING_SECONDS:
                    started.terminate()
            time.sleep(0.002)
        assert started.stderr is not None
        talk = started.stderr.read()
        assert serves or started.returncode == 0, talk
        assert "Traceback" not in talk, talk
    return EVERYWHERE if EVERYWHERE in seen else LOOPBACK if seen else NOTHING


def test_every_command_is_in_the_table_or_under_the_row_of_those_that_listen_nowhere():
    from launch.__main__ import COMMANDS as OF_LAUNCH
    from preprocess.__main__ import COMMANDS as OF_PREPROCESS
    from trainer.__main__ import COMMANDS as OF_TRAINER

    rows = " ".join(documented())
    packages = {"preprocess": OF_PREPROCESS, "trainer": OF_TRAINER, "launch": OF_LAUNCH}
    for package, commands in packages.items():
        for command in commands:
            assert re.search(rf"\b{package}( \w+,)* {command}\b", rows), f"{package} {command}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("workers", "row"),
    [(1, "preprocess build, one worker"), (2, "preprocess build, several workers")],
)
def test_a_build_listens_where_the_table_says(tmp_path, workers, row):
    pictures = made.class_folders(tmp_path / "pictures")
    listens = watch([
        *("preprocess", "build", "--source=folders", f"--workers={workers}", "--variants=2"),
        *(f"--images={pictures}", f"--output={tmp_path / 'out'}", "--shards=2"),
    ])  # fmt: skip
    assert listens == documented()[row]


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Flags of a training of a few steps."""
    folder = tmp_path_factory.mktemp("training")
    config = datasets.write_config(folder / "c.py", datasets.CLASSIFICATION, epochs=1)
    data = datasets.class_folders(folder, "--variants=1", "--shards=2")
    return [f"--config={config}", f"--data={data}"]


@pytest.mark.slow
def test_a_training_and_its_evaluation_listen_nowhere(training, tmp_path):
    run = f"--workdir={tmp_path / 'run'}"
    assert watch(["trainer", "train", *training, run]) == documented()["trainer train, one process"]
    rest = next(row for row in documented() if "evaluate" in row)
    listens = watch(["trainer", "evaluate", "--split=test", training[1], run])
    assert listens == documented()[rest] == NOTHING


@pytest.mark.slow
def test_workers_that_train_together_listen_where_the_table_says(training, tmp_path):
    listens = watch(
        ["trainer", "train", *training, f"--workdir={tmp_path / 'run'}", "--local_workers=2"]
    )
    assert listens == documented()["trainer train, several workers"]


@pytest.mark.slow
def test_a_supervised_run_listens_nowhere_by_itself(training, tmp_path, monkeypatch):
    monkeypatch.setenv("SHARDLINE_STATE", str(tmp_path / "state"))
    flags = ["--wait", "--", *training, f"--workdir={tmp_path / 'run'}"]
    listens = watch(["launch", "train", "--name=watched", *flags])
    assert listens == documented()["launch train, search, preprocess, rehearse"]


@pytest.mark.slow
def test_a_dispatcher_listens_where_the_table_says():
    listens = watch(["trainer", "dataservice", "--role=dispatcher", "--port=0"], serves=True)
    assert listens == documented()["trainer dataservice"]


@pytest.mark.slow
def test_tensorboard_listens_on_loopback(tmp_path):
    (tmp_path / "run" / "tensorboard").mkdir(parents=True)
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    command = ["launch", "tensorboard", str(tmp_path / "run"), f"--port={port}"]
    assert watch(command, serves=True) == documented()["launch tensorboard"]
