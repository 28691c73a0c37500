"""The commands that listen on nothing, by the table of docs/security.md: each is watched once.

Every one of those rows is either here or in tests/test_sockets.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.launch.fake_cluster import FakeCluster
from tests.listening import NOTHING, documented, watch
from tests.preprocess.cloud import Cloud
from tests.preprocess.download.web import Web
from tests.trainer import datasets

IMAGE = "registry.example/shardline@sha256:" + "0" * 64
# What is filled in is made by `given`. A picture of its dataset: the first one.
PREPROCESS = {
    "plan": "--source=folders --images={pictures} --output={new}",
    "explain": "{data} {id} 0",
    "info": "{data}",
    "verify": "{data} --deep",
    "diff": "{data} {data}",
    "preview": "{data} --output={new}.png --rows=1",
    "synth": "--output={new} --faces=40 --triplets=40 --test_fraction=0.45",
    "push": "{data} {bucket}/dataset",
    "fetch": "--csv={urls} --output={new} --allow_private",
}
TRAINER = {
    "predict": "--workdir={run} --images={picture} --output={new}.csv",
    "embed": "--workdir={run} --images={data} --split=test --output={new}.npz",
    "neighbours": "--workdir={run} --query={picture} --images={data} --output={new}.png",
    "export": "--workdir={run} --output={new}",
    "diagnose": "{training}",
    "check": "{training}",
    "presets": "--keys",
    "search": "{training} --space={space} --workdir={new} --trials=1 --repeats=1",
    "capture": "{run} --timeout=1",
    "time": "{run}",
}
LAUNCH = {
    "status": "watched",
    "logs": "watched",
    "why": "watched",
    "diff": "watched watched",
    "replay": "watched --name=again --dry_run",
    "list": "",
    "render": "train --backend=job --image={image} --volume=runs:/r -- {training} --workdir=/r/1",
    "check": "train --backend=local -- {training} --workdir={new}",
    "suspend": "watched",
    "resume": "watched",
    "wait": "watched",
    "stop": "watched",
}
CODES = {"trainer capture": 69, "launch resume": 64}  # nothing trains there, the run is done
# Trainer commands of 10 s and more each are of the integration tests.
LONG = [f"trainer {c}" for c in "embed neighbours export diagnose check search".split()]
COMMANDS = {
    f"{package} {command}": arguments
    for package, table in (("preprocess", PREPROCESS), ("trainer", TRAINER), ("launch", LAUNCH))
    for command, arguments in table.items()
}


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What the commands are given: a dataset, a run that has ended, servers of this process."""
    folder = tmp_path_factory.mktemp("given")
    config = datasets.write_config(folder / "c.py", datasets.CLASSIFICATION, epochs=1)
    data = datasets.class_folders(folder, "--variants=1", "--shards=2")
    training = f"--config={config} --data={data}"
    picture = next((folder / "pictures" / "train").rglob("*.png"))
    space = folder / "space.yaml"
    space.write_text("stages:\n  - batch_size: [2]\n", encoding="utf-8")
    web, cloud = Web(folder), Cloud()
    urls = folder / "urls.csv"
    urls.write_text(f"url\n{web.url}/0.jpg\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch, FakeCluster().running() as cluster:
        patch.setenv("SHARDLINE_STATE", str(folder / "state"))
        patch.setenv("STORAGE_EMULATOR_HOST", cloud.url)
        patch.setenv("KUBECONFIG", str(cluster.kubeconfig(folder / "kubeconfig")))
        flags = ["--wait", "--", *training.split(), f"--workdir={folder / 'run'}"]
        yield {
            "listened": watch(["launch", "train", "--name=watched", *flags]),
            "pictures": str(folder / "pictures"),
            "picture": str(picture),
            "id": picture.relative_to(folder / "pictures").as_posix(),
            "data": data,
            "training": training,
            "run": str(folder / "run"),
            "space": str(space),
            "urls": str(urls),
            "bucket": cloud.bucket("sockets"),
            "image": IMAGE,
        }
    web.stop()
    cloud.stop()


def test_every_command_that_should_listen_on_nothing_is_watched():
    silent = [row for row, listens in documented().items() if listens == NOTHING]
    # `follow` starts the jobs of `build`.
    of_others = ("preprocess build", "preprocess follow", "trainer train", "trainer evaluate")
    of_others += tuple(f"launch {verb}" for verb in ("train", "search", "preprocess", "rehearse"))
    named = set()
    for row in silent:
        package, _, commands = row.partition(" ")
        named |= {f"{package} {command.split()[0]}" for command in commands.split(", ") if command}
    assert named - {"preprocess one", "trainer one"} - {*of_others} == {*COMMANDS}


@pytest.mark.slow
def test_a_supervised_run_listens_on_nothing_by_itself(given):
    assert given["listened"] == documented()["launch train, search, preprocess, rehearse"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [pytest.param(name, marks=[pytest.mark.integration] * (name in LONG)) for name in COMMANDS],
)
def test_it_listens_on_nothing(command: str, given: dict[str, str], tmp_path: Path):
    arguments = COMMANDS[command].format(**given, new=tmp_path / "new")
    words = [*command.split(), *re.split(r"\s+", arguments)] if arguments else command.split()
    assert watch(words, code=CODES.get(command, 0)) == NOTHING
