r"""Measures one run, or the average of several, on a split of a dataset.

    python -m trainer evaluate --workdir=RUN[,RUN2,...] --data=DATASET [--split=test] \
        [--checkpoint=last|best] [--average=logits|probabilities] [--tta=N] [--batch_size=N] \
        [--output=FILE.csv] [--halves] [--halves_by=hash|order]

Several runs are averaged by their logits or probabilities; for triplets by their distances,
never by their embeddings. --tta=N averages over N draws of the run's on-device layers.

--output writes a row for each record: its id, truth, prediction, probabilities and loss. Text that
a spreadsheet would run as a formula (`=...`) gets a leading apostrophe.

--halves also measures the two halves of the split, by a hash of each record's id or in the order of
the ids, and their difference. Of several runs it names the best on half a with its figure on half
b, which did not choose it. With several runs, how their validation curves correlate is shown as
well.

A dataset with fewer, more or reordered classes is matched with the run's by name.
Triplets get a report card: accuracy by triplet type and by how many annotators agree, each with
its count and 95 % interval, next to chance and the known figures of the whole FEC test set.
"""

from __future__ import annotations

import contextlib

from absl import flags

from preprocess.shell.cli import no_arguments, print_json, say
from preprocess.shell.errors import DataError, UsageError
from preprocess.shell.json_text import JsonObject
from preprocess.shell.path_flags import define_path, define_paths, define_repeated_path
from preprocess.shell.progress import terminal_bar
from trainer.commands import measuring_flags, trust_flag
from trainer.commands.measuring_flags import BATCH_SIZE, TTA, run_directories
from trainer.commands.trust_flag import TRUST
from trainer.inference.table_file import WriteRow, writing_table

flags.adopt_module_key_flags(trust_flag)
flags.adopt_module_key_flags(measuring_flags)

_WORKDIR = define_paths("workdir", None, "Run directories.", required=True)
_DATA = define_repeated_path(
    "data", None, "Dataset directory, or gs://...; a single one.", required=True
)
_STAGE_TO = define_path(
    "stage_to", "", "Local directory to copy a dataset at gs://... to before it is read."
)
_SPLIT = flags.DEFINE_string("split", "test", "Split to measure.")
_CHECKPOINT = flags.DEFINE_enum("checkpoint", "last", ["last", "best"], "Which state.")
_AVERAGE = flags.DEFINE_enum(
    "average", "logits", ["logits", "probabilities"], "What is averaged over several runs."
)
_OUTPUT = define_path("output", "", "CSV file to write, a row for each record.")
_HALVES = flags.DEFINE_bool(
    "halves", False, "Measure two halves of the split as well: choose on one, report the other."
)
_HALVES_BY = flags.DEFINE_enum(
    "halves_by",
    None,
    ["hash", "order"],
    "How --halves divides, which it implies: by a hash of each record's id (the default), or the "
    "first and the second half in the order of the ids.",
)
_JSON = flags.DEFINE_bool("json", False, "Print one JSON object.")


def main(arguments: list[str]) -> None:
    """Evaluates and prints the figures."""
    no_arguments(arguments)
    run_directories(_WORKDIR.value)
    with contextlib.ExitStack() as stack:
        # Opened first: a path that cannot be written costs no evaluation.
        write = stack.enter_context(writing_table(_OUTPUT.value)) if _OUTPUT.value else None
        _evaluate(write)


def _evaluate(write: WriteRow | None) -> None:
    from trainer.compat import quiet

    quiet.silence()
    import tensorflow as tf

    from trainer.data.dataset import load_manifest
    from trainer.data.reader import open_reader
    from trainer.data.recorded import check_same_targets, record_of_targets
    from trainer.data.sets import of_several_sizes
    from trainer.data.staging import staged
    from trainer.inference.class_names import matched, unknown_class
    from trainer.inference.ensemble import check_drawn
    from trainer.inference.halves import HASH, compare_halves, halves_in_words, in_first_half
    from trainer.inference.measured_table import measured_rows
    from trainer.inference.trained_run import open_runs
    from trainer.report.run_curves import correlations_in_words, curve_correlations
    from trainer.training.evaluation import Evaluator, figures
    from trainer.training.recorded_curves import recorded_curves

    if len(_DATA.value) > 1:
        raise UsageError(
            f"--data is given {len(_DATA.value)} times: evaluate measures one set at a time"
        )
    data = staged(_DATA.value[0], _STAGE_TO.value, say)
    manifest = load_manifest(data)
    if _SPLIT.value not in manifest.splits:
        raise DataError(
            f"no split '{_SPLIT.value}' in '{data}'; it has {', '.join(manifest.splits)}"
        )
    runs = open_runs(
        _WORKDIR.value, _CHECKPOINT.value, say, TRUST.value, batch_size=BATCH_SIZE.value
    )
    if runs[0].dataset["task"] != manifest.task:
        raise DataError(f"the run is for task={runs[0].dataset['task']}, not {manifest.task}")
    check_same_targets(runs[0].dataset, record_of_targets(manifest.targets), "the run", f"'{data}'")
    known = runs[0].dataset["classes"]
    relabel = matched(known, manifest.classes, say)
    if TTA.value:
        check_drawn(runs)
    task, found = runs[0].session.task, []
    for run in terminal_bar(runs, shown=len(runs) > 1, unit="run"):
        config = run.session.config
        # As in training: of sets of different sizes, each one's pictures were stretched.
        stretched = None in (run.dataset["height"], run.dataset["width"])
        read_as = of_several_sizes(manifest) if stretched else manifest
        reader = open_reader(data, read_as, _SPLIT.value, config, training=False)
        evaluator = Evaluator(run.session, reader, change=relabel, draw_rows=run.trained_batch)
        draws: list[int | None] = list(range(TTA.value)) if TTA.value else [None]
        try:
            drawn = [evaluator.outputs(draw) for draw in draws]
        except tf.errors.InvalidArgumentError as error:
            raise unknown_class(error, known, manifest.classes, _SPLIT.value) or error from None
        found.append(task.average(drawn, _AVERAGE.value))
    outputs = task.average(found, _AVERAGE.value)
    measured = task.measured(outputs)
    figures_of_split = figures(task, outputs)
    if write:
        for cells in measured_rows(task, outputs, reader):
            write(cells)
    result: JsonObject = {
        "split": _SPLIT.value,
        "runs": [str(run.path) for run in runs],
        "checkpoint": _CHECKPOINT.value,
        **figures_of_split,
        "baseline": task.baseline(outputs),
        task.evaluate_detail: task.details(outputs, reader),
    }
    if _HALVES.value or _HALVES_BY.value:
        how = _HALVES_BY.value or HASH
        first = in_first_half(reader.id_columns, reader.ids(), how)
        named = dict(zip(result["runs"], found, strict=True))
        result["halves"] = compare_halves(task, outputs, named, first, how)
    if len(runs) > 1:
        curve = f"val_{task.metric}"
        curves = recorded_curves((run.path for run in runs), curve)
        result["curves"] = curve_correlations(curves, curve)
    if _OUTPUT.value:
        result["output"] = _OUTPUT.value
    if _JSON.value:
        print_json(result)
        return
    metric = task.metric
    baseline = result["baseline"]
    chance = f" ({baseline['name']} {baseline['accuracy']:.3f})" if baseline else ""
    if baseline and result["interval"] and result["interval"][0] <= baseline["accuracy"]:
        chance += ", which the interval does not rule out"
    if result[metric] is None:
        print(f"{_SPLIT.value}: no record counts for {metric}")
        return
    low, high = result["interval"]
    print(
        f"{_SPLIT.value}: {metric} {result[metric]:.4f}, 95 % interval [{low:.4f}, {high:.4f}]"
        f"{chance}, {result['counted']} counted, loss {result['loss']:z.4f}, of the "
        f"{_CHECKPOINT.value} state"
    )
    further = {name: value for name, value in measured.items() if value is not None}
    if further:
        print("  " + ", ".join(f"{name} {value:.4f}" for name, value in further.items()))
    for line in task.detail_lines(result[task.evaluate_detail]):
        print(line)
    for line in halves_in_words(result["halves"]) if "halves" in result else ():
        print(line)
    if about_curves := correlations_in_words(result.get("curves", {})):
        print(about_curves)
    if _OUTPUT.value:
        print(f"{len(outputs.records)} rows: {_OUTPUT.value}")
