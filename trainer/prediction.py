"""Predicting on files: probabilities of pictures, the odd one out of triplets."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.errors import DataError
from trainer.evaluation import softmax, squared_distances
from trainer.serving import EMBEDDING, Serving, batches

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff")
FACES = ("face1", "face2", "face3")


def model_outputs(
    serving: Serving, paths: Sequence[str]
) -> Iterator[tuple[str, NDArray[np.float64] | None, str]]:
    """(path, logits or embedding float64[F], '') of each file, or (path, None, what is wrong)."""
    name = "logits" if serving.classes else EMBEDDING
    for batch in batches(paths, serving.batch_size):
        items = serving.file_pictures(batch)
        rows = iter(serving.said_of(items)[name].astype(np.float64))
        for item in items:
            yield item.id, None if item.pixels is None else next(rows), item.problem


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


def class_rows(serving: Serving, paths: Sequence[str]) -> Iterator[list[Any]]:
    """Rows for class_header(): a probability a class; an unreadable file has its error only."""
    classes = serving.classes
    for path, logits, error in model_outputs(serving, paths):
        if logits is None:
            yield [path, "", *[""] * len(classes), error]
            continue
        probabilities = softmax(logits)
        best = classes[int(probabilities.argmax())]
        yield [path, best, *(f"{p:.6f}" for p in probabilities), ""]


def class_header(serving: Serving) -> list[str]:
    """Columns of class_rows()."""
    return ["path", "class", *(f"p_{name}" for name in serving.classes), "error"]


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
    serving: Serving, triplets: Iterable[tuple[str, str, str]], folder: str
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
            paths, model_outputs(serving, list(paths.values())), strict=True
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
