"""Every socket of every command: the table of docs/security.md, looked at in running processes.

A command is watched from outside, with all processes below it, until it ends or listens as long
as it lives. What is in the table has to be seen, and nothing else may be.
tests/test_commands_without_sockets.py watches the commands that listen on nothing.
"""

from __future__ import annotations

import re
import socket

import pytest

from tests.listening import NOTHING, documented, watch
from tests.preprocess import made
from tests.trainer import datasets


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
    [(1, "preprocess build, follow, one worker"), (2, "preprocess build, follow, several workers")],
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
    small = {"model__backbone": "mlp", "epochs": 1}
    config = datasets.write_config(folder / "c.py", datasets.CLASSIFICATION, **small)
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
def test_tensorboard_listens_on_loopback(tmp_path):
    (tmp_path / "run" / "tensorboard").mkdir(parents=True)
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    command = ["launch", "tensorboard", str(tmp_path / "run"), f"--port={port}"]
    assert watch(command, serves=True) == documented()["launch tensorboard"]
