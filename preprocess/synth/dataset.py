"""Writes the synthetic set to a directory, and measures what its own numbers reach on it.

DIR/images_cropped/face_00042.jpg      112x112 RGB
DIR/labels.csv                         the table of triplets; written last
DIR/truth.csv                          face, subset, and the expression it was drawn with
DIR/synth.json                         marks the directory as ours; the options
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from preprocess.shell import progress as log
from preprocess.shell.atomic import write_text
from preprocess.shell.errors import DataError, OutputError, UsageError
from preprocess.synth.annotators import MIN_FACES, TYPES, judge, pick_triplets, vote
from preprocess.synth.expression import NAMES, PROTOTYPES
from preprocess.synth.numbered import Stream, class_of, face_id, random_stream, write_faces

MARK_FILE = "synth.json"
TABLE_FILE = "labels.csv"
TRUTH_FILE = "truth.csv"
IMAGES_FOLDER = "images_cropped"
SUBSETS = ("train", "test")
HEADER = (
    "face1",
    "face2",
    "face3",
    "votes1",
    "votes2",
    "votes3",
    "triplet_type",
    "subset",
)

_BLOCK = 1024  # triplets: drawing them one by one takes ten times as long


def synthesise(
    output: str | os.PathLike[str],
    faces: int = 1500,
    triplets: int = 9000,
    test_fraction: float = 0.2,
    seed: int = 0,
    progress: bool | None = None,
    processes: int = 1,
) -> None:
    """Writes `faces` pictures, of which no one is in both subsets, and `triplets` rows.

    The same arguments and library versions write the same bytes. A directory that this function
    wrote before is replaced; any other that is not empty is refused.

    Args:
      output: the directory; created.
      faces: number of pictures.
      triplets: number of rows.
      test_fraction: share of the faces, and of the triplets, in the subset "test".
      seed: of everything random; not negative.
      progress: True shows a bar on stderr, False none, None one if stderr is a terminal.
      processes: that draw, at most; with several, a script of yours needs
        `if __name__ == "__main__":`, as each of them imports it.

    Raises:
      UsageError: for numbers that cannot be, or an output that is not ours to write.
      OutputError: the output takes no more, such as a full disk.
      UnavailableError: one of several processes was killed, or could not start.
    """
    tests = _test_counts(faces, triplets, test_fraction, seed)
    folder = _prepare(Path(output))
    options = {"faces": faces, "triplets": triplets, "test_fraction": test_fraction, "seed": seed}
    try:
        text = json.dumps(options, sort_keys=True) + "\n"
        (folder / MARK_FILE).write_text(text, encoding="utf-8")
        drawn = write_faces(folder / IMAGES_FOLDER, faces, seed, processes)
        truth = _write_truth(folder, drawn, faces, tests[0], progress)
        rows = _triplet_rows(truth, faces - tests[0], triplets, tests[1], seed)
        _write_table(folder / TABLE_FILE, HEADER, rows)
    except OSError as error:
        raise OutputError(
            f"--output={folder}: {error.strerror or error}; the same command starts again"
        ) from None


def _write_truth(
    folder: Path,
    drawn: Iterable[list[np.ndarray]],
    faces: int,
    test_faces: int,
    progress: bool | None,
) -> np.ndarray:
    """The table of the expressions, float64[faces, 5], of faces as they are drawn; returns it."""
    found = []
    with log.progress(faces, " faces", "drawing", disable=progress is False) as bar:
        for expressions in drawn:
            found.extend(expressions)
            bar.update(len(expressions))
    # Written with 6 digits; what is written is what the annotators see.
    truth = np.array([[float(f"{n:.6f}") for n in numbers] for numbers in found])
    rows = (
        [face_id(at), SUBSETS[at >= faces - test_faces], *(f"{n:.6f}" for n in truth[at])]
        for at in range(faces)
    )
    _write_table(folder / TRUTH_FILE, ["face", "subset", *NAMES], rows)
    return truth


def oracle(directory: str | os.PathLike[str], split: str = "test") -> tuple[int, int]:
    """What the expressions the faces were drawn with reach on the set's own triplets.

    No model can be expected to do better: annotators are noisy. Returns (right, counted), by the
    rule of the triplet accuracy (see `annotators.judge`).

    Raises:
      DataError: where the directory holds no synthetic set, or the split no triplets.
    """
    folder = Path(directory)
    try:
        truth = {
            row["face"]: [float(row[name]) for name in NAMES] for row in _rows(folder / TRUTH_FILE)
        }
        rows = [row for row in _rows(folder / TABLE_FILE) if row["subset"] == split]
        expressions = np.array([[truth[row[f"face{i}"]] for i in (1, 2, 3)] for row in rows])
        votes = np.array([[float(row[f"votes{i}"]) for i in (1, 2, 3)] for row in rows])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"the tables in '{folder}' are not as `synth` writes them ({error!r}); run it again"
        ) from error
    if not rows:
        raise DataError(f"no triplets of subset '{split}' in '{folder / TABLE_FILE}'")
    return judge(expressions, votes)


def _triplet_rows(
    truth: np.ndarray, cut: int, triplets: int, test_triplets: int, seed: int
) -> Iterable[list[str]]:
    """The rows of the table: those of the training faces, then those of the test faces."""
    splits = (range(cut), triplets - test_triplets), (range(cut, len(truth)), test_triplets)
    for split, (faces, count) in enumerate(splits):
        classes = _classes(faces)
        for block, first in enumerate(range(0, count, _BLOCK)):
            # Drawn whole, so that the rows are the same however many come after them.
            rng = random_stream(seed, Stream.TRIPLETS, split, block)
            chosen, kinds = pick_triplets(classes, _BLOCK, rng)
            votes = vote(truth[chosen], rng)
            for row in range(min(_BLOCK, count - first)):
                ids, shares = map(face_id, chosen[row]), (f"{v:.6f}" for v in votes[row])
                yield [*ids, *shares, TYPES[kinds[row]], SUBSETS[split]]


def _classes(faces: Iterable[int]) -> list[list[int]]:
    """The faces of each expression class."""
    classes: list[list[int]] = [[] for _ in PROTOTYPES]
    for face in faces:
        classes[class_of(face)].append(face)
    return classes


def _test_counts(faces: int, triplets: int, test_fraction: float, seed: int) -> tuple[int, int]:
    """The numbers of faces and of triplets to test on; refuses what cannot be."""
    if seed < 0:
        raise UsageError(f"--seed={seed}: must not be negative")
    if not 0 < test_fraction < 1:
        raise UsageError(f"--test_fraction={test_fraction}: must be between 0 and 1")
    test_faces, test_triplets = round(faces * test_fraction), round(triplets * test_fraction)
    if min(test_faces, faces - test_faces) < MIN_FACES:
        raise UsageError(
            f"--faces={faces} with --test_fraction={test_fraction} is {faces - test_faces} faces "
            f"to train on and {test_faces} to test on; each needs at least {MIN_FACES}"
        )
    if min(test_triplets, triplets - test_triplets) < 1:
        raise UsageError(
            f"--triplets={triplets} with --test_fraction={test_fraction} leaves a subset empty"
        )
    return test_faces, test_triplets


def _prepare(folder: Path) -> Path:
    """Makes the directory, and clears what an earlier run of ours left in it."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--output={folder} is a file; name a directory")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MARK_FILE).is_file():
        raise UsageError(
            f"--output={folder} is not empty and was not written by `synth`; name another directory"
        )
    try:
        (folder / IMAGES_FOLDER).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--output={folder} cannot be made: {error.strerror}") from error
    tables = folder / TABLE_FILE, folder / TRUTH_FILE
    for stale in (*tables, *(folder / IMAGES_FOLDER).glob("face_*.jpg")):
        stale.unlink(missing_ok=True)
    return folder


def _write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A CSV that is whole or not there."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, text.getvalue(), sync=False)


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise DataError(
            f"cannot read '{path}' ({error.strerror}): not a directory that `synth` finished"
        ) from error
