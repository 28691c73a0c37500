r"""Predicts with a trained run: classes, labels, numbers of pictures, or the odd one of triplets.

    python -m trainer predict --workdir=RUN --images=DIR|FILE|LIST.txt|gs://... --output=FILE.csv
    python -m trainer predict --workdir=RUN --csv=TRIPLETS.csv --images=DIR --output=FILE.csv

--images takes a folder (searched recursively), one file, several separated by commas, or a .txt
file with one per line. For a file that cannot be read, the column `error` has the reason; the
others are predicted. A table names pictures by their path below the folder or by name, with or
without suffix. A name that a spreadsheet would run as a formula (`=...`) is written with a leading
apostrophe.
"""

from __future__ import annotations

import csv

from absl import flags

from preprocess.shell.atomic import replacing
from preprocess.shell.cli import no_arguments, print_json, say
from preprocess.shell.csv_cells import safe_cells
from preprocess.shell.errors import DataError, UsageError
from preprocess.shell.path_flags import define_path
from preprocess.shell.progress import terminal_bar
from trainer.commands import trust_flag
from trainer.commands.trust_flag import TRUST

flags.adopt_module_key_flags(trust_flag)

_WORKDIR = define_path("workdir", None, "Run directory.", required=True)
_IMAGES = define_path(
    "images",
    None,
    "The pictures: a folder, on disk or gs://..., a file, several by commas, or a .txt list.",
    required=True,
)
_CSV = define_path("csv", "", "Triplets: a table with face1, face2, face3.")
_OUTPUT = define_path("output", None, "CSV file to write.", required=True)
_CHECKPOINT = flags.DEFINE_enum("checkpoint", "last", ["last", "best"], "Which state.")
_JSON = flags.DEFINE_bool("json", False, "Print one JSON object: rows, errors, output.")


def main(arguments: list[str]) -> None:
    """Predicts and writes the table."""
    no_arguments(arguments)
    from trainer.compat import quiet

    quiet.silence()
    from trainer.inference import picture_paths, prediction
    from trainer.inference.serving import Serving
    from trainer.inference.trained_run import open_run

    paths = picture_paths.find_pictures(_IMAGES.value)
    run = open_run(_WORKDIR.value, _CHECKPOINT.value, say, TRUST.value)
    serving = Serving(run)
    columns, task = serving.task.picture_columns, run.dataset["task"]
    if (len(columns) > 1) != bool(_CSV.value):
        raise UsageError(
            f"the run is for task={task}: name the pictures of each record with --csv, a table "
            f"with {', '.join(columns)}"
            if not _CSV.value
            else f"the run is for task={task}, a record is one picture: leave out --csv"
        )
    if _CSV.value:
        records = prediction.read_records(serving, _CSV.value)
        known = picture_paths.by_name(paths, picture_paths.folder_of(_IMAGES.value))
        rows, total = prediction.rows_of_table(serving, records, known), len(records)
    else:
        rows, total = prediction.rows_of_files(serving, paths), len(paths)
    errors = 0
    with replacing(_OUTPUT.value, sync=False) as temporary:
        try:
            file = open(temporary, "w", encoding="utf-8", newline="")  # noqa: SIM115
        except OSError as error:
            raise UsageError(f"--output='{_OUTPUT.value}': {error.strerror}") from None
        with file:
            writer = csv.writer(file)
            writer.writerow(safe_cells(prediction.header(serving)))
            for row in terminal_bar(rows, total=total):
                errors += bool(row[-1])
                writer.writerow(safe_cells(row))
    if errors == total:
        raise DataError(
            f"none of {total} rows could be predicted; the last: {row[-1]} (see {_OUTPUT.value})"
        )
    if _JSON.value:
        print_json({"rows": total, "errors": errors, "output": _OUTPUT.value})
    else:
        print(f"{total} rows, {errors} with an error: {_OUTPUT.value}")
