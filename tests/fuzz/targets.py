"""What is fuzzed: for each kind of input its cases, and what reads them."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from hypothesis import strategies as st
from PIL import Image

from launch.backends.local import Local
from launch.foreign import confirmed
from launch.render.objects import objects
from launch.render.slurm import batch_script
from launch.render.text import to_yaml
from launch.runs.records import Record, read_record
from launch.runs.run_progress import progress
from launch.runs.status import LogQuery
from launch.spec import Mount, Secret, Spec
from launch.supervisor.attempts import Attempts
from launch.supervisor.log_files import read_logs
from preprocess import dataset_format as df
from preprocess.augment import Recipe
from preprocess.commands import preview
from preprocess.examine.verify import verify
from preprocess.pictures.decode import decode
from preprocess.pictures.refusal import Refused
from preprocess.shards import reading
from preprocess.shards.tfrecord import read_records
from preprocess.shell.checksum import frame
from preprocess.shell.errors import UserError
from preprocess.shell.escaped_output import escaped, has_controls
from preprocess.sources import read_source
from preprocess.sources.rows import Request
from tests.fuzz.changes import HOSTILE, ODD_FILES, changed_bytes, changed_json, changed_value
from tests.launch import made as launches
from tests.preprocess import made
from trainer.config import Config, from_dict, to_dict
from trainer.search.space import load_space
from trainer.training.run_directory import RunDirectory


@dataclasses.dataclass(frozen=True)
class Target:
    """One kind of input.

    Attributes:
      cases: a strategy.
      read: reads one; an exception outside `refusals` is a fault.
      refusals: what a command turns into one line and an exit code.
    """

    cases: st.SearchStrategy[Any]
    read: Callable[[Any], object]
    refusals: tuple[type[Exception], ...] = (UserError,)


def manifest(folder: Path) -> Target:
    """dataset.json, by the commands that look at a dataset."""
    dataset = _dataset(folder)
    file = dataset / df.MANIFEST_FILE
    value = json.loads(file.read_text())

    def read(content: bytes) -> None:
        file.write_bytes(content)
        for problem in verify(str(dataset), True, lambda: None):
            assert problem.file and problem.problem
        loaded = reading.load_manifest(str(dataset))
        for split in loaded.splits.values():
            for shard in split.shards:
                assert (dataset / shard.file).resolve().is_relative_to(dataset.resolve())
                reading.read_index(str(dataset), shard.file)

    return Target(changed_json(value), read)


def records(folder: Path) -> Target:
    """A shard: bytes anywhere, or records that are whole and hold something else."""
    dataset = _dataset(folder)
    whole = df.Manifest.load(str(dataset))
    shard = next(s for split in whole.splits.values() for s in split.shards if s.kind == df.IMAGES)
    path = dataset / shard.file
    content = path.read_bytes()
    payloads = [payload for _, payload in read_records(str(path))]
    plain = json.loads((dataset / df.MANIFEST_FILE).read_text())
    index = dataset / df.index_file(shard.file)
    lines = index.read_bytes()

    def read(case: tuple[bytes, bytes, bool]) -> None:
        data, index_lines, framed = case
        data = frame(data) + content[len(frame(payloads[0])) :] if framed else data
        path.write_bytes(data)
        index.write_bytes(index_lines)
        changed = json.loads(json.dumps(plain))
        for split in changed["splits"].values():
            for entry in split["shards"]:
                if entry["file"] == shard.file:
                    entry.update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
        (dataset / df.MANIFEST_FILE).write_text(json.dumps(changed))
        verify(str(dataset), True, lambda: None)
        for features in reading.records(str(dataset), shard.file):
            assert preview._title(features, whole.classes)
            reading.pixels(features)
        for entry in reading.read_index(str(dataset), shard.file):
            reading.read_at(str(dataset), shard.file, entry)

    shards = st.tuples(
        changed_bytes([content]), st.one_of(st.just(lines), changed_bytes([lines])), st.just(False)
    )
    inside = st.tuples(changed_bytes(payloads[:1]), st.just(lines), st.just(True))
    return Target(st.one_of(shards, inside), read, (UserError, Refused))


def table(folder: Path) -> Target:
    """A table of triplets, and one of pictures."""
    triplets = made.triplet_set(folder / "triplets", 6, 2)
    pictures = made.class_folders(folder / "pictures", count=2)
    plain = "path,label,split\n" + "".join(
        f"{path.relative_to(pictures)},{path.parent.name},train\n" for path in pictures.rglob("*.*")
    )
    file = folder / "changed.csv"

    def read(case: tuple[str, bytes]) -> None:
        kind, content = case
        file.write_bytes(content)
        images = triplets["images"] if kind == "fec" else pictures
        source = read_source(kind, Request(csv=str(file), images=str(images)))
        for rejection in source.rejections:
            assert "\n" not in rejection.to_json()
        assert len(source.rejections) + len(source.pictures) < 10_000_000

    seeds = {"fec": triplets["csv"].read_bytes(), "csv": plain.encode()}
    odd = st.sampled_from(ODD_FILES)
    kinds = [
        st.tuples(st.just(kind), st.one_of(changed_bytes([seed]), odd))
        for kind, seed in seeds.items()
    ]
    return Target(st.one_of(*kinds), read)


def pictures(folder: Path) -> Target:
    """Pictures of every format, by the one decoder of builder, trainer and predict."""
    del folder
    return Target(
        st.one_of(changed_bytes(_pictures()), st.sampled_from(ODD_FILES)), decode, (Refused,)
    )


def run_directory(folder: Path) -> Target:
    """A run directory from elsewhere, by the trainer and by `launch`."""
    run = folder / "run"
    lives = run / "launch" / "lives"
    record = Record(
        spec=launches.spec(backend="local", arguments=(f"--workdir={run}",)), handle="local:x",
        submitted=1.0, argv=("train",), directory="/", commit="c", versions={"python": "3"},
    )  # fmt: skip
    config = {
        "config": json.loads(json.dumps(to_dict(Config()))),
        "dataset": {"task": "triplet", "digest": "d", "classes": ["a"], "splits": {}},
        "versions": {}, "commit": "",
    }  # fmt: skip
    rank = {"rank": 0, "pid": 1, "started": 1.0, "ended": 2.0, "exit_code": 1, "host": "h"}
    life = {"action": "retry", "exit_code": 1, "rank": 0, "reason": "r"}
    files = {
        "config.json": config,
        "metrics.jsonl": {"epoch": 1, "loss": 1.0},
        "progress.json": {"step": 1, "total_steps": 2, "epoch": 1, "seconds": 1.0, "time": 1.0},
        "launch/record.json": record.to_dict(),
        "launch/lives/000/rank-00000.json": rank,
        "launch/lives/000/life.json": life,
        "launch/lives/000/rank-00000.log": "a line",
    }

    def read(case: dict[str, bytes]) -> None:
        shutil.rmtree(run, ignore_errors=True)
        for name, value in files.items():
            (run / name).parent.mkdir(parents=True, exist_ok=True)
            (run / name).write_bytes(case.get(name, json.dumps(value).encode() + b"\n"))
        faults = []
        for look in (_looks_of_trainer, _looks_of_launch):
            try:
                look(run)
            except UserError as error:
                faults.append(error)
        list(read_logs([Attempts(lives)], LogQuery(), lambda: True))
        if faults:
            raise faults[0]

    changed = [st.fixed_dictionaries({name: changed_json(v)}) for name, v in files.items()]
    return Target(st.one_of(*changed), read)


def batch_script_of_anything(folder: Path) -> Target:
    """Batch scripts and manifests of specifications that hold any text."""
    del folder
    text = st.one_of(st.text(max_size=30), HOSTILE.filter(lambda v: isinstance(v, str)))
    word = st.one_of(text, st.sampled_from(["a", "gpu,long", "x y", "-x", 'p" --uid=0']))
    specs = st.fixed_dictionaries(
        {
            "backend": st.sampled_from(["slurm", "job", "local"]),
            "arguments": st.lists(text, max_size=4).map(tuple),
            "workers": st.integers(1, 4),
            "env": st.lists(st.tuples(st.one_of(st.just("A"), text), text), max_size=3).map(tuple),
        },
        optional={
            **dict.fromkeys(("partition", "account", "priority", "queue", "namespace"), word),
            "name": word,
            "memory": st.one_of(st.just("16Gi"), text),
            "mounts": st.tuples(st.builds(Mount, word, text)),
            "secrets": st.tuples(st.builds(Secret, word, word, word)),
        },
    )

    def read(case: tuple[dict[str, Any], str, str]) -> None:
        fields, directory, lives = case
        spec = launches.spec(**fields)
        assert Spec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
        if spec.backend == "job":
            assert list(yaml.safe_load_all(to_yaml(objects(spec)))) == objects(spec)
        if spec.backend != "slurm":
            return
        script = batch_script(spec, directory, "/venv/bin/python", lives, 0, 1.0)
        assert not any(map(has_controls, script.split("\n")))
        assert escaped(script) == script
        lines = script.split("\n")
        blank = lines.index("")
        assert all(line.startswith(("#!/bin/bash", "#SBATCH --")) for line in lines[:blank])
        assert len(lines) == blank + 1 + len(spec.env) + 3
        if spec.arguments:
            assert shlex.split(lines[-3])[-len(spec.arguments) :] == list(spec.arguments)
        for line in lines[1:blank]:
            assert len(shlex.split(line.removeprefix("#SBATCH "))) == 1

    return Target(st.tuples(specs, text, text), read)


def recipe(folder: Path) -> Target:
    """Recipes and search spaces."""
    file = folder / "space.yaml"
    recipes = {"version": 1, "operations": [{"horizontal_flip": {"p": 0.5}},
                                            {"cutout": {"height": 8, "width": 8}}]}  # fmt: skip
    spaces = {"sampler": "tpe", "repeats": 1, "set": {"epochs": 1},
              "search": {"model.scale": [1, 2], "batch_size": {"low": 1, "high": 4}}}  # fmt: skip

    def read(case: tuple[bool, bytes]) -> None:
        of_search, content = case
        if of_search:
            file.write_bytes(content)
            load_space(str(file))
        else:
            Recipe.from_yaml(content.decode("utf-8", "replace")).check()

    def dumped(value: Any) -> bytes:
        return yaml.safe_dump(value, allow_unicode=True).encode("utf-8", "replace")

    def yaml_of(value: Any) -> st.SearchStrategy[bytes]:
        seeds = [dumped(value), b"a: &a [*a]", b"? [1]\n: !!python/name:os.system"]
        return st.one_of(
            changed_json(value), changed_value(value).map(dumped), changed_bytes(seeds)
        )

    return Target(
        st.one_of(
            st.tuples(st.just(True), yaml_of(spaces)), st.tuples(st.just(False), yaml_of(recipes))
        ),
        read,
    )


TARGETS: dict[str, Callable[[Path], Target]] = {
    "manifest": manifest,
    "records": records,
    "table": table,
    "pictures": pictures,
    "run_directory": run_directory,
    "batch_script": batch_script_of_anything,
    "recipe": recipe,
}


def _dataset(folder: Path) -> Path:
    """A small dataset directory of class folders."""
    sources = made.class_folders(folder / "sources", count=2)
    made.built("folders", folder / "dataset", images=sources, image_size=8, shards=1)
    return folder / "dataset"


def _pictures() -> list[bytes]:
    """Small pictures of all formats, by several of each one's ways to store."""
    rng = np.random.default_rng(0)
    colours = Image.fromarray(rng.integers(0, 256, (24, 20, 3), np.uint8))
    ways: list[tuple[Image.Image, str, dict[str, Any]]] = [
        (colours, "JPEG", {}),
        (colours, "JPEG", {"progressive": True}),
        (colours.convert("L"), "JPEG", {"quality": 30}),
        (colours.convert("CMYK"), "JPEG", {}),
        (colours, "PNG", {}),
        (colours.convert("P"), "PNG", {}),
        (colours.convert("RGBA"), "PNG", {}),
        (colours.convert("I"), "PNG", {}),
        (colours, "GIF", {}),
        (colours, "BMP", {}),
        (colours, "WEBP", {}),
        (colours, "TIFF", {}),
        (colours, "TIFF", {"compression": "tiff_lzw"}),
        (colours, "PPM", {}),
    ]
    found = []
    for picture, kind, options in ways:
        buffer = io.BytesIO()
        picture.save(buffer, kind, **options)
        found.append(buffer.getvalue())
    return found


def _looks_of_trainer(run: Path) -> None:
    directory = RunDirectory(str(run))
    directory.rows()
    from_dict(directory.read_config()["config"])


def _looks_of_launch(run: Path) -> None:
    record = read_record(str(run))
    assert record.found_in
    assert isinstance(progress(record, 5.0), object)
    for command in ("status", "why", "logs"):
        confirmed(command, record, yes=False)
    if record.spec.backend == "local":
        Local().status(record)
        Local().why(record)
        list(Local().logs(record, LogQuery()))
    for command in ("resume", "replay", "stop"):
        try:
            confirmed(command, record, yes=False)
        except UserError:
            continue
        raise AssertionError(f"{command} of a run from elsewhere needs no --yes")
