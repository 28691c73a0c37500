"""From finished shards to a dataset that readers accept: the manifest, and what lies beside it."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Sequence

from preprocess import dataset_format as df
from preprocess.augment import Recipe
from preprocess.errors import DataError
from preprocess.plan import Plan
from preprocess.refusals import Rejection
from preprocess.tfds_metadata import FILES, metadata_files
from preprocess.tfrecord import write_text
from preprocess.versions import library_versions
from preprocess.workspace import FOLDER, ShardReport


def all_shards(manifest: df.Manifest) -> list[df.Shard]:
    """Every shard of a dataset."""
    return [shard for split in manifest.splits.values() for shard in split.shards]


def withdraw(output: str) -> None:
    """Takes an earlier manifest away: readers refuse the directory from here on, and those of
    tensorflow-datasets, which know no manifest, too.
    """
    for name in (df.MANIFEST_FILE, *FILES):
        _unlink(os.path.join(output, name))


def write_rejections(output: str, rejections: Sequence[Rejection]) -> None:
    """Writes `rejected.jsonl`, empty where nothing was refused."""
    text = "".join(f"{rejection.to_json()}\n" for rejection in rejections)
    write_text(os.path.join(output, df.REJECTED_FILE), text)


def make_manifest(
    plan: Plan,
    reports: Sequence[ShardReport],
    rejections: Sequence[Rejection],
    recipe: Recipe | None,
) -> df.Manifest:
    """The manifest of a dataset whose shards are all built.

    Args:
      plan: what was to be built.
      reports: what came of each shard, in the plan's order.
      rejections: every refused input.
      recipe: None where there is one variant.
    """
    options = plan.options
    splits: dict[str, df.Split] = {}
    for split in sorted({shard.split for shard in plan.shards}):
        pairs = [
            (shard, report)
            for shard, report in zip(plan.shards, reports, strict=True)
            if shard.split == split
        ]
        shards = tuple(s for _, report in pairs for s in report.shards)
        splits[split] = df.Split(
            images=sum(s.records for s in shards if s.kind == df.IMAGES and s.variant == 0),
            triplets=sum(s.records for s in shards if s.kind == df.TRIPLETS),
            variants=max(shard.variants for shard, _ in pairs),
            shards=shards,
        )
    shapes = sorted({shape for report in reports for shape in report.shapes})
    counted = Counter(r.reason for r in rejections if r.counted)
    return df.Manifest(
        task=options.task,
        fingerprint=plan.fingerprint(),
        digest=df.digest([(s.file, s.sha256) for r in reports for s in r.shards]),
        versions=library_versions(recipe.libraries if recipe else ()),
        seed=options.seed,
        variants=options.variants,
        recipe=recipe.digest if recipe else "",
        image=df.ImageFormat(
            encoding=options.encoding,
            quality=options.quality,
            size=options.image_size,
            resize_mode=options.resize_mode,
            height=_only({shape[0] for shape in shapes}),
            width=_only({shape[1] for shape in shapes}),
            channels=_only({shape[2] for shape in shapes}),
        ),
        classes=plan.classes,
        splits=splits,
        rejected={"count": counted.total(), "by_reason": dict(sorted(counted.items()))},
    )


def _only(values: set[int]) -> int | None:
    return values.pop() if len(values) == 1 else None


def publish(output: str, manifest: df.Manifest, recipe: str) -> None:
    """Writes what stands beside the shards, the manifest last; removes what it does not name.

    Raises DataError where no training picture is left.
    """
    if manifest.splits["train"].images == 0:
        raise DataError("every training picture was refused; see rejected.jsonl")
    _remove_leftovers(output, manifest)
    labels = "".join(f"{name}\n" for name in manifest.classes)
    beside = {df.RECIPE_FILE: recipe, df.LABELS_FILE: labels, **metadata_files(manifest)}
    for name in (df.RECIPE_FILE, df.LABELS_FILE, *FILES):
        path = os.path.join(output, name)
        if text := beside.get(name):
            write_text(path, text)
        else:
            _unlink(path)
    write_text(os.path.join(output, df.MANIFEST_FILE), manifest.to_json())


def _remove_leftovers(output: str, manifest: df.Manifest) -> None:
    """Shards of an earlier plan, such as another number of shards, and torn temporary files."""
    named = {shard.file for shard in all_shards(manifest)}
    keep = named | {df.index_file(file) for file in named}
    for folder, _, files in os.walk(output, topdown=False):
        if FOLDER in os.path.relpath(folder, output).split(os.sep):
            continue
        for name in files:
            relative = os.path.relpath(os.path.join(folder, name), output).replace(os.sep, "/")
            ours = name.endswith((".tfrecord", ".index")) or ".tmp-" in name
            if ours and relative not in keep:
                os.unlink(os.path.join(folder, name))
        with contextlib.suppress(OSError):  # not empty
            os.rmdir(folder)


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
