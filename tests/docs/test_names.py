"""Flags, configuration keys and files that the documents and k8s/ name exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, documents
from tests.docs.command_flags import all_commands
from trainer.config.keys import FREE_KEYS, KEYS, SECTIONS

# Flags of other programs, and of modules below tests/, by whose they are.
FOREIGN = {
    "Apache Beam": "environment_type flink_master flink_job_server_jar num_workers "
    "parallelism project region runner sdk_container_image service_port",
    "TensorBoard": "host load_fast logdir reload_interval",
    "pip and apt": "no require",
    "Docker and useradd": "build gid shell uid",
    "tests.benchmarks and tests.fuzz": "minutes pictures target way",
    "absl": "help noNAME NAME",
}
# Where they stand for something else: a key that an example adds, a name to be filled in.
ADDED_KEYS = {"extending.md": ("augment.invert", "loss.args")}
PLACEHOLDER = re.compile(r"[A-Z]")
FOLDERS = ("preprocess", "trainer", "launch", "k8s", "tests", "docs")

FLAG = re.compile(r"(?<![\w-])--([A-Za-z][\w.]*\w|[a-z])")
KEY = re.compile(rf"`((?:{'|'.join(SECTIONS)})\.[a-z_.]+)[=`]")
FILE = re.compile(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]+)`")

OURS = {flag.name for command in all_commands() for flag in command.flags}
THEIRS = {name for names in FOREIGN.values() for name in names.split()}
TEXTS = [*documents(), *(path for path in (ROOT / "k8s").rglob("*") if path.is_file())]


def unknown_flags(text: str) -> list[str]:
    """Flags that neither our commands nor other programs have."""
    names = {name for name in FLAG.findall(text) if not name.startswith("config.")}
    return sorted(names - OURS - THEIRS)


def unknown_keys(text: str) -> list[str]:
    """Keys in backquotes, and behind `--config.`, that do not exist."""
    named = {*KEY.findall(text)}
    named |= {key.rstrip(".") for key in re.findall(r"--config\.([\w.]*\w)", text)}
    return sorted(
        key
        for key in named
        if key not in KEYS
        and key not in FREE_KEYS
        and not key.startswith(tuple(f"{free}." for free in FREE_KEYS))
        and not PLACEHOLDER.search(key)
    )


def missing_files(text: str) -> list[str]:
    """Paths of this repository in backquotes that do not exist."""
    return sorted(name for name in {*FILE.findall(text)} if not (ROOT / name).exists())


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_flags_keys_and_files_that_are_named_exist(path: Path):
    text = path.read_text(encoding="utf-8")
    added = ADDED_KEYS.get(path.name, ())
    assert not unknown_flags(text)
    assert not [key for key in unknown_keys(text) if not key.startswith(added)]
    if path.suffix == ".md":
        assert not missing_files(text)


def test_every_foreign_flag_is_named_somewhere():
    named = {name for path in TEXTS for name in FLAG.findall(path.read_text(encoding="utf-8"))}
    assert not THEIRS - named


def test_what_does_not_exist_is_found():
    assert unknown_flags("`--nonsense=1`, --split=test and --config.epochs=2") == ["nonsense"]
    assert unknown_keys("`model.nonsense`, --config.epoch=1, `loss.args.gamma`, `model.scale`") == [
        "epoch",
        "model.nonsense",
    ]
    assert missing_files("`trainer/nonsense.py` and `trainer/train.py`") == ["trainer/nonsense.py"]
