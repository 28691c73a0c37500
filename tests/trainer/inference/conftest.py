"""Runs opened once for a file of tests, and pictures that they see."""

import pytest

from tests.trainer import datasets
from trainer.inference.serving import Serving
from trainer.inference.trained_run import open_run


def serving_of(workdir, checkpoint="last", trusted=()):
    return Serving(open_run(str(workdir), checkpoint, print, trusted))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Files of several kinds and sizes, one cut and one that is no picture."""
    folder = tmp_path_factory.mktemp("pictures")
    for number, size in enumerate([(50, 30), (24, 24), (20, 61), (300, 200)]):
        bright = number % 2 == 0
        path = folder / datasets.CLASSES[not bright] / f"{number}.{'jpg' if number % 2 else 'png'}"
        path.parent.mkdir(exist_ok=True)
        datasets.picture(bright, number, size).save(path)
    datasets.picture(True, 9).convert("L").save(folder / "grey <b>\ttab.jpg")
    (folder / "no.png").write_bytes(b"no picture")
    (folder / "cut.jpg").write_bytes((folder / "dark" / "3.jpg").read_bytes()[:900])
    return folder


@pytest.fixture(scope="module")
def triplets(triplet_run):
    """The run on triplets."""
    return serving_of(triplet_run)


@pytest.fixture(scope="module")
def classes(class_runs):
    """The first of the runs on classes."""
    return serving_of(class_runs[0])
