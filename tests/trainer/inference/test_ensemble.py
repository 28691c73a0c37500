"""Several runs, and several draws of their layers, averaged on the same pictures."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from preprocess.dataset_format import Manifest
from preprocess.shell.errors import UsageError
from tests.trainer import datasets
from trainer.config import with_values
from trainer.data.reader import open_reader
from trainer.inference import prediction
from trainer.inference.embedding import embedded
from trainer.inference.ensemble import Ensemble
from trainer.inference.gallery import open_gallery
from trainer.inference.measured_table import measured_rows
from trainer.inference.neighbours import distances
from trainer.inference.serving import Serving
from trainer.inference.trained_run import open_runs_here
from trainer.tasks.outputs import Outputs, softmax

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(class_runs):
    return open_runs_here(class_runs, "last", print)


@pytest.fixture(scope="module")
def triplet_runs(triplet_run):
    return open_runs_here([triplet_run], "last", print)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Five pictures, the third of which is none."""
    folder = tmp_path_factory.mktemp("files")
    for number in range(5):
        datasets.picture(number % 2 == 0, number).save(folder / f"{number}.png")
    (folder / "2.png").write_bytes(b"no picture")
    return sorted(str(path) for path in folder.iterdir())


def with_batch(runs, size):
    """The same weights, opened for another size of a batch."""
    return open_runs_here([str(run.path) for run in runs], "last", print, batch_size=size)


def probabilities(ensemble, files):
    rows = list(prediction.rows_of_files(ensemble, files))
    assert [bool(row[-1]) for row in rows] == [False, False, True, False, False]
    return np.array([row[2:4] for row in rows if not row[-1]], float)


def test_the_probabilities_or_logits_of_runs_are_averaged(runs, files):
    servings = [Serving(run) for run in runs]
    logits = [s.said_of(s.file_pictures(files))["logits"].astype(float) for s in servings]
    found = probabilities(Ensemble(runs, average="probabilities"), files)
    np.testing.assert_allclose(found, np.mean(softmax(np.array(logits)), 0), atol=1e-6)
    found = probabilities(Ensemble(runs), files)
    np.testing.assert_allclose(found, softmax(np.mean(logits, 0)), atol=1e-6)


def test_draws_differ_from_each_other_and_not_with_the_size_of_a_batch(runs, files):
    """The runs flip: of 3 draws, some picture is seen both ways."""
    plain, drawn = (probabilities(Ensemble(runs[:1], tta), files) for tta in (0, 3))
    assert not np.allclose(plain, drawn, atol=1e-5)
    again = probabilities(Ensemble(with_batch(runs[:1], 3), 3), files)
    np.testing.assert_allclose(again, drawn, atol=1e-5)


def test_distances_of_triplets_are_averaged_over_draws(triplet_runs, triplet_data):
    """Crop and flip are drawn for each picture by its number."""
    faces = Path(triplet_data).parent / "synth" / "images_cropped"
    paths = {path.stem: str(path) for path in sorted(faces.iterdir())[:3]}
    ensemble = Ensemble(triplet_runs, 2)
    (row,) = prediction.rows_of_table(ensemble, [tuple(paths)], paths)
    serving = Serving(triplet_runs[0])
    items = serving.file_pictures(list(paths.values()))
    draws = [serving.said_of(items, draw, [0, 1, 2])["embedding"].astype(float) for draw in (0, 1)]
    expected = np.mean([serving.task.values(each[np.newaxis])[0] for each in draws], 0)
    np.testing.assert_allclose(np.array(row[4:7], float), expected, atol=1e-6)


def test_embeddings_of_runs_have_the_mean_of_their_distances(runs, files):
    both, *single = (Ensemble(each, 2) for each in (runs, runs[:1], runs[1:]))
    folder = str(Path(files[0]).parent)
    rows = []
    for ensemble in (both, *single):
        (batch,) = embedded(ensemble, open_gallery(ensemble.first, folder))
        assert batch.rows.shape == (4, ensemble.dimensions) and batch.rows.dtype == np.float32
        rows.append(batch.rows)
    near = [distances(each[0], each, both.metric) for each in rows]
    np.testing.assert_allclose(near[0], np.mean(near[1:], 0), atol=1e-5)
    assert len({ensemble.weights_digest() for ensemble in (both, *single)}) == 3


def test_mean_embeddings_of_triplets_keep_their_length(triplet_runs, triplet_data):
    ensemble = Ensemble(triplet_runs, 2)
    batch = next(iter(embedded(ensemble, open_gallery(ensemble.first, triplet_data, "test"))))
    np.testing.assert_allclose(np.linalg.norm(batch.rows, axis=1), 1, rtol=1e-5)


def test_a_row_of_triplets_has_their_line_faces_votes_and_distances(triplet_runs, triplet_data):
    run, manifest = triplet_runs[0], Manifest.load(triplet_data)
    reader = open_reader(triplet_data, manifest, "test", run.session.config, training=False)
    values = np.arange(27 * 3, dtype=float).reshape(27, 3)
    outputs = Outputs(values, reader.votes, np.arange(27))
    header, *rows = measured_rows(run.session.task, outputs, reader)
    assert header[:4] == ["line", "face1", "face2", "face3"] and header[-1] == "loss"
    lines = (Path(triplet_data).parent / "synth" / "labels.csv").read_text().splitlines()
    names = lines[0].split(",")
    for row, votes in zip(rows, reader.votes, strict=True):
        given = dict(zip(names, lines[int(row[0]) - 1].split(","), strict=True))
        assert row[1:4] == [Path(given[name]).stem for name in header[1:4]]
        np.testing.assert_allclose([float(given[f"votes{i}"]) for i in (1, 2, 3)], votes, atol=0.02)
        np.testing.assert_allclose(np.array(row[4:7], float), votes, atol=1e-6)
    assert rows[1][8:11] == ["3.000000", "4.000000", "5.000000"]


def test_draws_of_a_run_without_layers_are_refused(runs):
    run = runs[0]
    session = run.session

    plain = with_values(session.config, {"augment.enabled": False})
    other = run._replace(session=dataclasses.replace(session, config=plain))
    with pytest.raises(UsageError, match=r"--tta: .* has augment.enabled=False"):
        Ensemble([other], 2)
