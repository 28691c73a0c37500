"""Predicting on files: probabilities of pictures, the odd one out of triplets."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer.errors import DataError
from trainer.evaluation import softmax, squared_distances
from trainer.reader.files import UnreadablePicture, load_picture
from trainer.runs import Run

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff")
FACES = ("face1", "face2", "face3")


def picture_shape(run: Run) -> tuple[int, int, int]:
    """(H, W, C) that files are brought to: that of the dataset the run was trained on."""
    size = run.session.config.image_size
    dataset = run.dataset
    height, width = dataset["height"] or size, dataset["width"] or size
    return height, width, run.session.config.model.channels


def model_outputs(
    run: Run, paths: Sequence[str]
) -> Iterator[tuple[str, NDArray[np.float64] | None, str]]:
    """(path, outputs of the model float64[F], '') of each file, or (path, None, what is wrong)."""
    session = run.session
    batch_size = session.config.batch_size
    shape, mode = picture_shape(run), run.dataset["resize_mode"]

    @tf.function(input_signature=[tf.TensorSpec([None, *shape], tf.uint8)])
    def outputs(images: Any) -> Any:
        pixels = session.task.pixels(session.augmentation, images, augment=False)
        return tf.cast(session.model(pixels, training=False), tf.float32)

    for start in range(0, len(paths), batch_size):
        loaded: list[tuple[str, Any, str]] = []
        for path in paths[start : start + batch_size]:
            try:
                loaded.append((path, load_picture(path, shape, mode), ""))
            except UnreadablePicture as error:
                loaded.append((path, None, str(error)))
        good = [image for _, image, _ in loaded if image is not None]
        rows = iter(outputs(np.stack(good)).numpy().astype(np.float64) if good else ())
        for path, image, problem in loaded:
            yield path, None if image is None else next(rows), problem


def find_pictures(folder: str) -> list[str]:
    """Every picture file below a folder, sorted; raises DataError where there is none."""
    if not os.path.isdir(folder):
        raise DataError(f"--images='{folder}' is not a folder")
    found = sorted(
        str(path)
        for path in Path(folder).rglob("*")
        if path.suffix.lower() in SUFFIXES and path.is_file()
    )
    if not found:
        raise DataError(f"no pictures below '{folder}' ({', '.join(SUFFIXES)})")
    return found


def class_rows(run: Run, paths: Sequence[str]) -> Iterator[list[Any]]:
    """Rows for class_header(): a probability a class; an unreadable file has its error only."""
    classes = run.dataset["classes"]
    for path, logits, error in model_outputs(run, paths):
        if logits is None:
            yield [path, "", *[""] * len(classes), error]
            continue
        probabilities = softmax(logits)
        best = classes[int(probabilities.argmax())]
        yield [path, best, *(f"{p:.6f}" for p in probabilities), ""]


def class_header(run: Run) -> list[str]:
    """Columns of class_rows()."""
    return ["path", "class", *(f"p_{name}" for name in run.dataset["classes"]), "error"]


def read_triplets(table: str) -> list[tuple[str, str, str]]:
    """The three ids of each row of a table with face1, face2, face3; raises DataError."""
    try:
        with open(table, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in FACES if name not in (reader.fieldnames or ())]
            if missing:
                raise DataError(f"'{table}' has no column {', '.join(missing)}")
            rows = [(row["face1"], row["face2"], row["face3"]) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read '{table}': {error}") from None
    if not rows:
        raise DataError(f"'{table}' has no rows")
    return rows


TRIPLET_HEADER = [*FACES, "odd_one", "distance12", "distance13", "distance23", "error"]


def triplet_rows(
    run: Run, triplets: Iterable[tuple[str, str, str]], folder: str
) -> Iterator[list[Any]]:
    """Rows for TRIPLET_HEADER: squared distances, and which of the three is the odd one."""
    triplets = list(triplets)
    known = {
        path.stem: str(path)
        for path in sorted(Path(folder).iterdir())
        if path.suffix.lower() in SUFFIXES
    }
    wanted = {face for triple in triplets for face in triple}
    paths = {face: known[face] for face in sorted(filter(None, wanted)) if face in known}
    found = {
        face: (embedding, error)
        for face, (_, embedding, error) in zip(
            paths, model_outputs(run, list(paths.values())), strict=True
        )
    }
    for triple in triplets:
        three = [found.get(face, (None, f"no picture {face}")) for face in triple]
        embeddings = [embedding for embedding, _ in three if embedding is not None]
        if len(embeddings) < 3:
            errors = "; ".join(error for embedding, error in three if embedding is None)
            yield [*triple, "", "", "", "", errors]
            continue
        distances = squared_distances(np.stack(embeddings)[np.newaxis])[0]
        # Reversed, entry i is the distance of the two others: the closest pair leaves the odd one.
        odd = FACES[int(distances[::-1].argmin())]
        yield [*triple, odd, *(f"{d:.6f}" for d in distances), ""]
