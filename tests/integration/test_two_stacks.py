"""What one stack has made goes on with the other: datasets, runs, and the refusal of builds."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.trainer import datasets

ROOT = Path(__file__).parents[2]
STACKS = {"default": ROOT / ".venv", "next": ROOT / ".venv-next"}
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        not all((venv / ".installed").exists() for venv in STACKS.values()),
        reason="needs both stacks: make env, make env STACK=next",
    ),
]
BOTH_WAYS = [("default", "next"), ("next", "default")]
# The batches of a pass as the trainer's pipeline has them, and as plain arrays; a digest of both.
READ = """
import hashlib, sys
from trainer.config import Config, with_values
from trainer.data import open_dataset
from trainer.data.dataset import load_manifest
from trainer.data.order import ReplicaSlice
from trainer.data.reader import open_reader

manifest = load_manifest(sys.argv[1])
values = {"task": manifest.task, "batch_size": 8, "data.validation_splits": ()}
reader = open_reader(
    sys.argv[1], manifest, "train", with_values(Config(), values), training=True
)
loader = open_dataset(sys.argv[1], batch_size=8)
steps = 2 * reader.steps_per_pass
for batches in (reader.dataset(0, ReplicaSlice(), steps), loader.numpy_batches(steps)):
    seen = hashlib.sha256()
    for batch in batches:
        for name in sorted(batch):
            values = batch[name]
            seen.update((values if hasattr(values, "tobytes") else values.numpy()).tobytes())
    print(seen.hexdigest())
"""


def run(stack: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(STACKS[stack] / "bin" / "python"), *arguments],
        cwd=ROOT,
        env={n: v for n, v in os.environ.items() if n != "TF_USE_LEGACY_KERAS"},
        capture_output=True,
        text=True,
    )


def done(stack: str, *arguments: str) -> str:
    """What a command that succeeds prints."""
    found = run(stack, *arguments)
    assert found.returncode == 0, found.stderr[-3000:]
    return found.stdout


def build(stack: str, folder: Path, *flags: str) -> str:
    """21 pictures of two classes as JPEGs, three variants of each."""
    pictures = folder / "pictures"
    if not pictures.exists():
        datasets.write_folders(pictures, suffix="jpg")
    dataset = str(folder / stack)
    done(
        stack, "-m", "preprocess", "build", "--source=folders", f"--images={pictures}",
        f"--output={dataset}", "--variants=3", "--shards=2", "--workers=1", *flags,
    )  # fmt: skip
    return dataset


@pytest.mark.parametrize(("maker", "reader"), BOTH_WAYS)
def test_a_dataset_of_one_has_the_same_pixels_on_the_other(
    maker: str, reader: str, tmp_path: Path
) -> None:
    dataset = build(maker, tmp_path)
    own = done(maker, "-c", READ, dataset).split()
    assert len(set(own)) == 1
    assert done(reader, "-c", READ, dataset).split() == own
    assert done(reader, "-m", "preprocess", "verify", "--deep", dataset)


@pytest.mark.parametrize(("before", "after"), BOTH_WAYS)
def test_a_run_of_one_goes_on_with_the_other_and_says_what_is_no_longer_exact(
    before: str, after: str, tmp_path: Path
) -> None:
    dataset, workdir = build(before, tmp_path), tmp_path / "run"
    changes = {**datasets.QUIET, "model.backbone": "mlp", "image_size": 24, "batch_size": 8}
    changes["data.validation_splits"] = "test"
    flags = [f"--config.{name}={str(value).lower()}" for name, value in changes.items()]
    words = ["-m", "trainer", "train", "--config=beans_128", "--config.model.weights=", *flags]
    words += [f"--data={dataset}", f"--workdir={workdir}", "--json"]
    first = json.loads(done(before, *words, "--config.epochs=1"))
    second = run(after, *words, "--config.epochs=2")
    assert second.returncode == 0, second.stderr[-3000:]
    assert json.loads(second.stdout)["steps"] == 2 * first["steps"]
    (said,) = [line for line in second.stderr.splitlines() if "saved under TensorFlow" in line]
    assert "resuming under" in said
    made = ["-m", "trainer", "evaluate", f"--workdir={workdir}", f"--data={dataset}", "--json"]
    one, other = (json.loads(done(stack, *made)) for stack in (before, after))
    assert one["loss"] == pytest.approx(other["loss"], rel=1e-3)
    done(before, "-m", "trainer", "export", f"--workdir={workdir}", f"--output={tmp_path / 'out'}")


def test_a_build_is_not_finished_on_the_other(tmp_path: Path) -> None:
    dataset = Path(build("default", tmp_path))
    (dataset / ".build" / "done" / "train-images-00001.json").unlink()
    pictures = f"--images={tmp_path / 'pictures'}"
    found = run(
        "next", "-m", "preprocess", "build", "--source=folders", pictures,
        f"--output={dataset}", "--variants=3", "--shards=2", "--workers=1",
    )  # fmt: skip
    assert found.returncode == os.EX_CONFIG, found.stderr
    assert "--overwrite" in found.stderr
