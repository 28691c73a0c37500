r"""Predicts with a trained run: classes, labels, numbers of pictures, or the odd one of triplets.

    python -m trainer predict --workdir=RUN[,RUN2,...] --images=DIR|FILE|LIST.txt|gs://... \
        --output=FILE.csv [--average=logits|probabilities] [--tta=N] [--batch_size=N]
    python -m trainer predict --workdir=RUN --csv=TRIPLETS.csv --images=DIR --output=FILE.csv

Several runs, and the N draws of --tta, are averaged as `evaluate` does it.

--images takes a folder (searched recursively), one file, several separated by commas, or a .txt
file with one per line. For a file that cannot be read, the column `error` has the reason; the
others are predicted. A table names pictures by their path below the folder or by name, with or
without suffix. A name that a spreadsheet would run as a formula (`=...`) is written with a leading
apostrophe.
"""

from __future__ import annotations

from absl import flags

from preprocess.shell.cli import no_arguments, print_json, say
from preprocess.shell.errors import DataError, UsageError
from preprocess.shell.path_flags import define_path, define_paths
from preprocess.shell.progress import terminal_bar
from trainer.commands import measuring_flags, trust_flag
from trainer.commands.measuring_flags import BATCH_SIZE, TTA, run_directories
from trainer.commands.trust_flag import TRUST
from trainer.inference.table_file import writing_table

flags.adopt_module_key_flags(trust_flag)
flags.adopt_module_key_flags(measuring_flags)

_WORKDIR = define_paths("workdir", None, "Run directories.", required=True)
_IMAGES = define_path(
    "images",
    None,
    "The pictures: a folder, on disk or gs://..., a file, several by commas, or a .txt list.",
    required=True,
)
_CSV = define_path("csv", "", "Triplets: a table with face1, face2, face3.")
_OUTPUT = define_path("output", None, "CSV file to write.", required=True)
_CHECKPOINT = flags.DEFINE_enum("checkpoint", "last", ["last", "best"], "Which state.")
_AVERAGE = flags.DEFINE_enum(
    "average", "logits", ["logits", "probabilities"], "What is averaged over several runs or draws."
)
_JSON = flags.DEFINE_bool("json", False, "Print one JSON object: rows, errors, output.")


def main(arguments: list[str]) -> None:
    """Predicts and writes the table."""
    no_arguments(arguments)
    workdirs = run_directories(_WORKDIR.value)
    from trainer.compat import quiet

    quiet.silence()
    from trainer.inference import picture_paths, prediction
    from trainer.inference.ensemble import Ensemble
    from trainer.inference.trained_run import open_runs_here

    paths = picture_paths.find_pictures(_IMAGES.value)
    runs = open_runs_here(workdirs, _CHECKPOINT.value, say, TRUST.value, BATCH_SIZE.value)
    ensemble = Ensemble(runs, TTA.value, _AVERAGE.value)
    columns, task = ensemble.task.picture_columns, runs[0].dataset["task"]
    if (len(columns) > 1) != bool(_CSV.value):
        raise UsageError(
            f"the run is for task={task}: name the pictures of each record with --csv, a table "
            f"with {', '.join(columns)}"
            if not _CSV.value
            else f"the run is for task={task}, a record is one picture: leave out --csv"
        )
    if _CSV.value:
        records = prediction.read_records(ensemble.task, _CSV.value)
        known = picture_paths.by_name(paths, picture_paths.folder_of(_IMAGES.value))
        rows, total = prediction.rows_of_table(ensemble, records, known), len(records)
    else:
        rows, total = prediction.rows_of_files(ensemble, paths), len(paths)
    errors = 0
    with writing_table(_OUTPUT.value) as write:
        write(prediction.header(ensemble))
        for row in terminal_bar(rows, total=total):
            errors += bool(row[-1])
            write(row)
    if errors == total:
        raise DataError(
            f"none of {total} rows could be predicted; the last: {row[-1]} (see {_OUTPUT.value})"
        )
    if _JSON.value:
        print_json({"rows": total, "errors": errors, "output": _OUTPUT.value})
    else:
        print(f"{total} rows, {errors} with an error: {_OUTPUT.value}")
