"""config.json: what is recorded of a run, and what the one that resumes it must share with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from preprocess.shell.errors import ConfigError
from preprocess.shell.json_text import JsonObject
from trainer.config import Config, differences, to_dict
from trainer.config.best_metric import with_best_metric
from trainer.config.own_code import sources
from trainer.config.running_sections import DataConfig
from trainer.data.dataset import digest_for, what_it_reads
from trainer.data.recorded import record_of_targets
from trainer.data.sets import FURTHER, TrainingSet, changed_sets, record_of_sets
from trainer.data.storage import absolute
from trainer.training.checkpoints import LAST, Checkpoints
from trainer.training.resuming import check_same_code, other_tensorflow
from trainer.training.run_directory import RunDirectory, versions
from trainer.training.starting_from import Origin
from trainer.training.training_run import Run


def resumed_record(
    directory: RunDirectory,
    config: Config,
    sets: Sequence[TrainingSet],
    origin: str,
    say: Callable[[str], None],
    *,
    strict: bool,
) -> JsonObject | None:
    """The content of config.json of a run with a saved state to resume from; None = a new run.

    Raises:
      ConfigError: it was trained with another configuration, on another dataset, or from another
        state.
    """
    if not Checkpoints(directory.checkpoints).states(LAST):
        return None
    record = directory.read_config()
    before = record["config"]
    digest = digest_for(record["dataset"], config.data, sets[0].manifest)
    changed = differences(before, to_dict(with_best_metric(config, before)))
    changed += changed_sets(config, sets, record["dataset"])
    directory.check_same(changed, digest)
    started_from = (record.get("from") or {}).get("given", "")
    if origin and origin != started_from:
        raise ConfigError(
            f"--from={origin}: '{directory.path}' already has saved states"
            + (f", and started from {started_from}" if started_from else "")
            + "; omit --from to resume it, or set another --workdir"
        )
    now = config.distribute.all_reduce
    how = before.get("distribute", {}).get("all_reduce", now)
    if how != now:
        say(
            f"warning: gradients were summed by {how}, and now by {now}: the last bits of weights "
            "may differ"
        )
    check_same_code(record.get("references"), sources(config), say, strict)
    if warning := other_tensorflow(record["versions"]["tensorflow"]):
        say(warning)
    return record


def variants_read(
    data: DataConfig,
    sets: Sequence[TrainingSet],
    before: JsonObject | None,
    say: Callable[[str], None],
) -> list[int]:
    """How many variants of each set are read; those that were added since a run began are not.

    Live variants are the same files whether the dataset has them or its follower: [].
    """
    if data.live:
        return []
    found = []
    for each in sets:
        stored = each.manifest.split(data.train_split).variants
        record: JsonObject = {}
        if before:
            further = before["dataset"].get(FURTHER, [])
            record = [before["dataset"], *further][each.number - 1]
        variants = record.get("variants") or data.stored_variants(stored)
        if variants < stored and not data.variants:
            name = "the dataset" if len(sets) == 1 else f"'{each.path}'"
            say(f"{name} has more variants now; this run keeps using its {variants}")
        found.append(variants)
    return found


def record_of(run: Run, before: JsonObject, origin: Origin | None) -> JsonObject:
    """The content of config.json; `before` is what it was, {} for a new run."""
    manifest = run.sets[0].manifest
    resumed = bool(run.checkpoints.states(LAST)) and before
    reads = what_it_reads(run.config.data, manifest)
    further = record_of_sets(run.config, run.sets, before["dataset"] if resumed else {})
    if resumed:
        reads = {key: before["dataset"][key] for key in reads if key in before["dataset"]}
    started_from = before.get("from") if resumed else origin and origin.record()
    return {
        "config": to_dict(run.config),
        "versions": versions(),
        "dataset": {
            "path": absolute(run.sets[0].path),
            "digest": manifest.digest,
            **reads,
            **further,
            "task": manifest.task,
            "classes": list(manifest.classes),
            **record_of_targets(manifest.targets),
            "height": manifest.image.height,
            "width": manifest.image.width,
            "resize_mode": manifest.image.resize_mode,
        },
        **({"from": started_from} if started_from else {}),
        **({"references": used} if (used := sources(run.config)) else {}),
    }
