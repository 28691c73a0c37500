r"""Measures one run, or the average of several, on a split of a dataset.

    python -m trainer evaluate --workdir=RUN[,RUN2,...] --data=DATASET [--split=test] \
        [--checkpoint=last|best] [--average=logits|probabilities] [--tta=N]

Several runs are averaged by their logits or probabilities; for triplets by their distances,
never by their embeddings. --tta=N averages over N draws of the run's on-device layers.

Triplets get a report card: accuracy by triplet type and by how many annotators agree, each with
its count and 95 % interval, beside chance and the figures known of the whole FEC test set.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from absl import flags

from trainer.cli import no_arguments, print_json, say
from trainer.errors import DataError, UsageError

_WORKDIR = flags.DEFINE_list("workdir", None, "Run directories.", required=True)
_DATA = flags.DEFINE_string("data", None, "Dataset directory, or gs://...", required=True)
_STAGE_TO = flags.DEFINE_string(
    "stage_to", "", "Local directory to copy a dataset at gs://... to before it is read."
)
_SPLIT = flags.DEFINE_string("split", "test", "Split to measure.")
_CHECKPOINT = flags.DEFINE_enum("checkpoint", "last", ["last", "best"], "Which state.")
_AVERAGE = flags.DEFINE_enum(
    "average", "logits", ["logits", "probabilities"], "What is averaged over several runs."
)
_TTA = flags.DEFINE_integer(
    "tta",
    0,
    "Test-time augmentation: draws to average over; 0 = off.",
    lower_bound=0,
    upper_bound=1000,
)
_JSON = flags.DEFINE_bool("json", False, "Print one JSON object.")


def main(arguments: list[str]) -> None:
    """Evaluates and prints the figures."""
    no_arguments(arguments)
    if len(set(_WORKDIR.value)) != len(_WORKDIR.value):
        raise UsageError(f"--workdir names a run twice: {','.join(_WORKDIR.value)}")
    from trainer import quiet

    quiet.silence()
    from tqdm import tqdm

    from preprocess.dataset_format import TRIPLET
    from trainer.dataset import load_manifest
    from trainer.evaluation import Evaluator, average, figures, triplet_card
    from trainer.reader import open_reader
    from trainer.runs import open_runs
    from trainer.staging import staged

    data = staged(_DATA.value, _STAGE_TO.value, say)
    manifest = load_manifest(data)
    if _SPLIT.value not in manifest.splits:
        raise DataError(
            f"no split '{_SPLIT.value}' in '{data}'; it has {', '.join(manifest.splits)}"
        )
    runs = open_runs(_WORKDIR.value, _CHECKPOINT.value, say)
    if runs[0].dataset["task"] != manifest.task:
        raise DataError(f"the run is for task={runs[0].dataset['task']}, not {manifest.task}")
    if runs[0].dataset["classes"] != list(manifest.classes):
        raise DataError("the dataset's classes are not those the run was trained on")
    found = []
    for run in tqdm(runs, disable=None if len(runs) > 1 else True, unit="run"):
        config = run.session.config
        if _TTA.value and not config.augment.enabled:
            raise UsageError(f"--tta: '{run.path}' has augment.enabled=False, nothing to draw")
        reader = open_reader(data, manifest, _SPLIT.value, config, training=False)
        evaluator = Evaluator(run.session, reader)
        draws: list[int | None] = list(range(_TTA.value)) if _TTA.value else [None]
        found.append(average([evaluator.outputs(draw) for draw in draws], _AVERAGE.value))
    outputs = average(found, _AVERAGE.value)
    result: dict[str, Any] = {
        "split": _SPLIT.value,
        "runs": [str(run.path) for run in runs],
        "checkpoint": _CHECKPOINT.value,
        **figures(runs[0].session, outputs, manifest.classes),
    }
    if manifest.task == TRIPLET:
        result["report_card"] = triplet_card(outputs, reader)
    if _JSON.value:
        print_json(result)
        return
    metric = runs[0].session.task.metric
    chance = " (chance 0.333)" if runs[0].session.task.chance else ""
    if result[metric] is None:
        print(f"{_SPLIT.value}: no record counts for {metric}")
        return
    low, high = result["interval"]
    print(
        f"{_SPLIT.value}: {metric} {result[metric]:.4f}, 95 % interval [{low:.4f}, {high:.4f}]"
        f"{chance}, {result['counted']} counted, loss {result['loss']:.4f}"
    )
    if "report_card" in result:
        _print_card(result["report_card"])
    for row in result.get("report", {}).get("per_class", []):
        print(
            f"  {row['class']:<24} precision {_share(row['precision'])}  "
            f"recall {_share(row['recall'])}  of {row['support']}"
        )


def _print_card(card: Mapping[str, Any]) -> None:
    from trainer.report.card import words

    for row in [*card["by_type"], *card["by_agreement"]]:
        low, high = row["interval"]
        figures = f"{row['accuracy']:.3f}  [{low:.3f}, {high:.3f}]  of {row['counted']}"
        print(f"  {row['name']:<24} {figures}")
    for line in words(card):
        print(line)


def _share(value: float | None) -> str:
    return "   - " if value is None else f"{value:.3f}"
