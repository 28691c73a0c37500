"""TensorBoard over real runs, as the two commands start it, read in a real Chromium."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.integration import boards, chromium, system
from tests.trainer.datasets import REPOSITORY
from trainer.bottleneck import trace
from trainer.monitoring.stages import LOSS_SCOPE, UPDATE_SCOPE

pytestmark = pytest.mark.timeout(1200)

LOADER = "https://www.gstatic.com/charts/loader.js"
# The profile page waits for the charts' loader before it does anything: without the internet it
# is blank. This one loads no charts, so that the rest of the page shows.
NO_CHARTS = "window.google = {charts: {load() {}, setOnLoadCallback() {}, safeLoad() {}}}"
SHORT = (
    *("--config.batch_size=8", "--config.image_size=32", "--config.steps_per_epoch=24"),
    *("--config.epochs=2", "--config.validation_steps=2", "--config.virtual_replicas=0"),
    *("--config.augment.resize_to=36", "--config.augment.crop=32"),
)
SPACE = """
sampler: grid
repeats: 1
set: {epochs: 1, steps_per_epoch: 2, validation_steps: 1, batch_size: 8, image_size: 32,
      virtual_replicas: 0, profile.steps: [], augment.enabled: false}
search:
  model.scale: [0.5, 2]
"""


def python(*arguments: str | Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faces")
    python("preprocess", "synth", f"--output={folder}/faces", "--faces=100", "--triplets=200")
    python(
        *("preprocess", "build", "--source=fec", f"--csv={folder}/faces/labels.csv"),
        *(f"--images={folder}/faces/images_cropped", f"--output={folder}/dataset", "--variants=2"),
    )
    return folder / "dataset"


@pytest.fixture(scope="module")
def run(dataset: Path) -> Path:
    """A run of the demo, cut short, with its embeddings."""
    folder = dataset.parent / "run"
    python(
        *("trainer", "train", "--config=demo", f"--data={dataset}", f"--workdir={folder}", *SHORT)
    )
    out = dataset.parent / "faces.npz"
    python("trainer", "embed", f"--workdir={folder}", f"--images={dataset}", f"--output={out}")
    return folder


@pytest.fixture(scope="module")
def page() -> Iterator[chromium.Page]:
    with chromium.page() as tab:
        tab.stand_in(LOADER, NO_CHARTS)
        yield tab


@pytest.fixture(scope="module")
def board(run: Path) -> Iterator[str]:
    """The address of `launch tensorboard RUN`."""
    port = system.free_port()
    with boards.running(boards.launch(run, port), port):
        yield f"http://localhost:{port}/"


def no_faults(page: chromium.Page) -> None:
    assert page.errors == []
    assert page.failed == []


def test_the_curves_of_training_and_validation_are_drawn(page, board):
    tags = ("loss", "triplet_accuracy", "images_per_second", "learning_rate", "step_ms_p90")
    # A page has twelve curves, which are fewer than there are.
    page.open(f"{board}#scalars&tagFilter={quote('|'.join(tags))}")
    page.shows("train", "validation", *(f"tag:\n{tag}" for tag in tags))
    # "L": a line from the first epoch to the second.
    system.wait_for("curves", lambda: bool(page.all("path.line[d*='L']")), 60)
    no_faults(page)


def test_the_histograms_are_of_the_weights(page, board):
    page.open(f"{board}#histograms")
    page.shows("tag:\nconv_0/kernel:0", "conv_4", "embedding", "norm_4")
    no_faults(page)


def test_the_graph_is_that_of_a_training_step(page, board):
    page.open(f"{board}#graphs")
    # The pictures' shape on an edge: three of each of eight triplets; and the parts of a step.
    page.shows("Conceptual graph", "24×32×32×3")
    nodes = page.all("text")
    for part in ("model", LOSS_SCOPE, UPDATE_SCOPE):
        assert any(node.startswith(part) for node in nodes), (part, nodes)
    no_faults(page)


def test_the_pictures_are_the_augmented_batch_and_the_mistakes(page, board):
    page.open(f"{board}#images")
    page.shows("tag:\naugmented", "tag:\nmistakes")
    no_faults(page)


def test_the_projector_has_every_picture(page, board):
    page.open(f"{board}#projector")
    page.shows("1 tensor found", "squared distance", "100x16", "split")
    no_faults(page)


def test_the_profile_page_lists_the_run_and_its_tools(page, board, run):
    """And shows the step time that is explained without a browser; the charts stay empty."""
    [session] = (run / "tensorboard" / "plugins" / "profile").iterdir()
    explained = trace.explain_run(run)
    assert explained is not None and explained.step_ms is not None
    page.open(f"{board}#profile")
    shown = page.shows("Runs (1)", session.name, "overview_page", "Average Step Time", "Hosts")
    step = re.search(r"Average Step Time\n(?:.*\n)*?([\d.]+) ms\n", shown)
    assert step is not None
    assert float(step[1]) == pytest.approx(explained.step_ms, abs=0.06)
    page.click(".mat-mdc-select-trigger", containing="overview_page")
    page.shows("input_pipeline_analyzer", "tensorflow_stats", "trace_viewer")
    no_faults(page)


def test_a_search_has_its_points_on_the_hparams_page(page, dataset, tmp_path):
    """By `make tensorboard`, which is to find the same pages."""
    (tmp_path / "space.yaml").write_text(SPACE, encoding="utf-8")
    search = tmp_path / "search"
    python(
        *("trainer", "search", "--config=demo", f"--space={tmp_path}/space.yaml"),
        *(f"--data={dataset}", f"--workdir={search}"),
    )
    port = system.free_port()
    with boards.running(boards.make(search, port), port):
        page.open(f"http://localhost:{port}/#hparams")
        page.shows("val_triplet_accuracy", "model.scale=0.5", "model.scale=2", "session groups: 2")
        no_faults(page)
        page.open(f"http://localhost:{port}/#timeseries")
        page.shows("000", "001", "val_triplet_accuracy")


def test_it_ends_with_the_command_that_started_it(run):
    """TERM to `launch` alone, as a supervisor sends it: the port is free afterwards."""
    port = system.free_port()
    with boards.running(boards.launch(run, port), port) as server:
        server.terminate()
        assert server.wait(60) == 0
        assert not boards.answers(port)


def test_a_port_that_is_taken_is_said(run, board):
    port = int(board.rstrip("/").rpartition(":")[2])
    done = subprocess.run(
        boards.launch(run, port), cwd=REPOSITORY, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == os.EX_USAGE
    assert f"is port {port} free?" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
