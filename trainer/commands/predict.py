r"""Predicts with a trained run: class probabilities of pictures, or the odd one of triplets.

    python -m trainer predict --workdir=RUN --images=DIR --output=FILE.csv
    python -m trainer predict --workdir=RUN --csv=TRIPLETS.csv --images=DIR --output=FILE.csv

A file that cannot be read has its reason in the column `error`; the others are predicted.
"""

from __future__ import annotations

import csv
import os

from absl import flags

from trainer.cli import no_arguments, print_json, say
from trainer.errors import DataError, UsageError

_WORKDIR = flags.DEFINE_string("workdir", None, "Run directory.", required=True)
_IMAGES = flags.DEFINE_string("images", None, "Folder of the pictures.", required=True)
_CSV = flags.DEFINE_string("csv", "", "Triplets: a table with face1, face2, face3.")
_OUTPUT = flags.DEFINE_string("output", None, "CSV file to write.", required=True)
_CHECKPOINT = flags.DEFINE_enum("checkpoint", "last", ["last", "best"], "Which state.")
_JSON = flags.DEFINE_bool("json", False, "Print one JSON object: rows, errors, output.")


def main(arguments: list[str]) -> None:
    """Predicts and writes the table."""
    no_arguments(arguments)
    from trainer import quiet

    quiet.silence()
    from tqdm import tqdm

    from preprocess.dataset_format import TRIPLET
    from trainer import prediction
    from trainer.runs import open_run
    from trainer.serving import Serving

    paths = prediction.find_pictures(_IMAGES.value)
    run = open_run(_WORKDIR.value, _CHECKPOINT.value, say)
    serving = Serving(run)
    if (run.dataset["task"] == TRIPLET) != bool(_CSV.value):
        raise UsageError(
            "the run is for triplets: name them with --csv"
            if not _CSV.value
            else "the run is for classes: leave out --csv"
        )
    if _CSV.value:
        triplets = prediction.read_triplets(_CSV.value)
        rows, total = prediction.triplet_rows(serving, triplets, _IMAGES.value), len(triplets)
        header = prediction.TRIPLET_HEADER
    else:
        rows, total = prediction.class_rows(serving, paths), len(paths)
        header = prediction.class_header(serving)
    errors = 0
    temporary = f"{_OUTPUT.value}.tmp-{os.getpid()}"
    try:
        file = open(temporary, "w", encoding="utf-8", newline="")  # noqa: SIM115
    except OSError as error:
        raise UsageError(f"--output='{_OUTPUT.value}': {error.strerror}") from None
    try:
        with file:
            writer = csv.writer(file)
            writer.writerow(header)
            for row in tqdm(rows, total=total, disable=None):
                errors += bool(row[-1])
                writer.writerow(row)
        os.replace(temporary, _OUTPUT.value)
    except BaseException:
        os.unlink(temporary)
        raise
    if errors == total:
        raise DataError(
            f"none of {total} rows could be predicted; the last: {row[-1]} (see {_OUTPUT.value})"
        )
    if _JSON.value:
        print_json({"rows": total, "errors": errors, "output": _OUTPUT.value})
    else:
        print(f"{total} rows, {errors} with an error: {_OUTPUT.value}")
