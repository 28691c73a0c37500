"""Turns finished shards into a dataset that readers accept: the manifest and the other files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence

from preprocess import dataset_format as df
from preprocess import storage
from preprocess.augment import Recipe
from preprocess.build.dataset_plan import Plan
from preprocess.build.tfds_metadata import metadata_files
from preprocess.live_format import LIVE_FOLDER
from preprocess.shards.commit_marker import ShardReport
from preprocess.shards.versions import library_versions
from preprocess.shards.workspace import FOLDER
from preprocess.shell.errors import ConfigError, DataError
from preprocess.sources.leftovers import is_leftover
from preprocess.sources.refusals import Rejection
from preprocess.sources.splitting import TRAIN


def all_shards(manifest: df.Manifest) -> list[df.Shard]:
    """Every shard of a dataset."""
    return [shard for split in manifest.splits.values() for shard in split.shards]


def write_rejections(output: str, rejections: Sequence[Rejection]) -> None:
    """Writes `rejected.jsonl`, empty if nothing was refused."""
    text = "".join(f"{rejection.to_json()}\n" for rejection in rejections)
    storage.write_text(os.path.join(output, df.REJECTED_FILE), text)


def make_manifest(
    plan: Plan,
    reports: Sequence[ShardReport],
    rejections: Sequence[Rejection],
    recipe: Recipe | None,
) -> df.Manifest:
    """The manifest of a dataset whose shards are all built.

    Args:
      plan: what was to be built.
      reports: the result of each shard, in the plan's order.
      rejections: every refused input.
      recipe: None if there is only one variant.
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
        versions={
            **library_versions(recipe.libraries if recipe else ()),
            **one_of_each(reports),
        },
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
        weighted=plan.weighted,
        targets=plan.targets,
    )


def one_of_each(reports: Sequence[ShardReport]) -> dict[str, str]:
    """The library versions that made the shards; raises ConfigError if workers differ, as their
    shards then do not belong together.
    """
    found: dict[str, set[str]] = {}
    for report in reports:
        for name, version in report.libraries.items():
            found.setdefault(name, set()).add(version)
    mixed = [f"{name} {' and '.join(sorted(v))}" for name, v in found.items() if len(v) > 1]
    if mixed:
        raise ConfigError(
            f"the workers had different library versions ({'; '.join(mixed)}): install the same "
            "ones and run again with --overwrite, which rebuilds the shards"
        )
    return {name: version for name, (version,) in found.items()}


def _only(values: set[int]) -> int | None:
    return values.pop() if len(values) == 1 else None


def publish(output: str, manifest: df.Manifest, recipe: str) -> None:
    """Writes the files next to the shards, the manifest last; removes what it does not name.

    Raises DataError if no picture is left in the training split, or in any split.
    """
    if TRAIN in manifest.splits and manifest.splits[TRAIN].images == 0:
        raise DataError("every training picture was refused; see rejected.jsonl")
    if not any(split.images for split in manifest.splits.values()):
        raise DataError("every picture was refused; see rejected.jsonl")
    remove_leftovers(output, manifest)
    labels = "".join(f"{name}\n" for name in manifest.classes)
    for name, text in ((df.RECIPE_FILE, recipe), (df.LABELS_FILE, labels)):
        if text:
            storage.write_text(os.path.join(output, name), text)
        else:
            storage.remove(os.path.join(output, name))
    write_metadata(output, manifest)


def write_metadata(output: str, manifest: df.Manifest) -> None:
    """Writes what readers look for: the files of tensorflow-datasets, then the manifest."""
    metadata = metadata_files(manifest)
    for name in df.TFDS_FILES:
        if name in metadata:
            storage.write_text(os.path.join(output, name), metadata[name])
        else:
            storage.remove(os.path.join(output, name))
    storage.write_text(os.path.join(output, df.MANIFEST_FILE), manifest.to_json())
    storage.sync_folders([output])


def remove_torn(output: str) -> None:
    """Removes partial files of killed builds, which would keep a full disk full."""
    if storage.is_remote(output):
        return  # objects appear complete or not at all
    for relative in storage.tree(output):
        if ".tmp-" in relative.rpartition("/")[2] and not relative.startswith(f"{LIVE_FOLDER}/"):
            storage.remove(os.path.join(output, relative))


def remove_leftovers(output: str, manifest: df.Manifest) -> None:
    """Shards of an earlier plan, such as another number of shards, and partial files."""
    named = {shard.file for shard in all_shards(manifest)}
    keep = named | {df.index_file(file) for file in named}
    for relative in storage.tree(output):
        name = relative.rpartition("/")[2]
        ours = name.endswith((".tfrecord", ".index")) or ".tmp-" in name
        other = relative.split("/")[0] in (FOLDER, LIVE_FOLDER)
        if ours and relative not in keep and not other:
            storage.remove(os.path.join(output, relative))
    for name in storage.names(output):
        if not is_leftover(name):  # a volume's lost+found is empty, and not ours
            storage.remove_empty_folders(os.path.join(output, name))
