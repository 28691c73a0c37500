"""What a build refuses: before anything is touched, and where too much of its input is bad."""

from __future__ import annotations

import dataclasses
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from preprocess import dataset_format as df
from preprocess import reuse, storage
from preprocess.cli import say
from preprocess.errors import ConfigError, DataError, UsageError
from preprocess.plan import DRAWING_OPTIONS, Options, Plan
from preprocess.publish import withdraw, write_rejections
from preprocess.reading import read_index
from preprocess.refusals import Rejection
from preprocess.sources.rows import Source
from preprocess.workspace import FOLDER, ShardReport, Workspace

if TYPE_CHECKING:
    from preprocess.build import BuildRequest


def check_output(request: BuildRequest) -> None:
    """Makes the output's folder; refuses one among the classes, or with other things in it."""
    output = request.output
    images = request.source.images
    if request.kind == "folders" and images and _is_below(output, images):
        raise UsageError(
            f"--output='{output}' lies in --images, where it would be taken for a class; "
            "choose a folder outside"
        )
    try:
        storage.make_folder(output)
        names = set(storage.names(output))
    except OSError as error:
        reason = "is a file" if os.path.isfile(output) else error.strerror
        raise UsageError(f"--output='{output}': {reason}") from None
    if names and not names & {FOLDER, df.MANIFEST_FILE}:
        raise UsageError(
            f"--output='{output}' is not empty and not a dataset directory; choose another"
        )


def doubts(source: Source) -> Iterator[str]:
    """What is possible, but seldom meant."""
    if source.pictures and {picture.split for picture in source.pictures} == {"train"}:
        yield (
            "there is a training split only, nothing to measure on; --splits=train:0.8,test:0.2 "
            "or --validation_fraction=0.1 would make one"
        )
    if len(source.classes) == 1:
        yield f"there is one class only, '{source.classes[0]}'; is --images one folder too deep?"


def _is_below(path: str, folder: str) -> bool:
    if storage.is_remote(path) or storage.is_remote(folder):
        return f"{path}/".startswith(f"{storage.absolute(folder)}/")
    folder = os.path.realpath(folder)
    return os.path.commonpath((os.path.realpath(path), folder)) == folder


def check_same_options(workspace: Workspace, options: Options, overwrite: bool) -> None:
    """Refuses options that an earlier build in this directory did not have, and names them."""
    before = workspace.options()
    if before == options or overwrite:
        return
    if before is None:
        if storage.exists(os.path.join(workspace.dataset, df.MANIFEST_FILE)):
            raise ConfigError(
                f"'{workspace.dataset}' holds a dataset, but not how it was built "
                f"({FOLDER}/options.json); give another --output, or --overwrite"
            )
        return
    # More variants are added to those that are there; what variants above 0 depend on is free
    # as long as there are none, and of no matter when none are asked for.
    free = {"variants"} if options.variants > before.variants else set()
    if min(before.variants, options.variants) == 1:
        free.update(DRAWING_OPTIONS)
    changed = [
        f"{field.name} {_short(getattr(before, field.name))} -> "
        f"{_short(getattr(options, field.name))}"
        for field in dataclasses.fields(Options)
        if field.name not in free and getattr(before, field.name) != getattr(options, field.name)
    ]
    if changed:
        raise ConfigError(
            f"'{workspace.dataset}' was built with other options ({'; '.join(changed)}); "
            "give the old ones, another --output, or --overwrite"
        )


def check_same_pictures(
    request: BuildRequest,
    plan: Plan,
    manifest: df.Manifest | None,
    kept: Mapping[str, ShardReport],
) -> None:
    """Says what became of the input; refuses to replace a dataset of wholly other pictures,
    which is more often a mistyped --output than meant.
    """
    if manifest is None or request.overwrite or reuse.stands(manifest, kept):
        return
    try:
        before = {
            entry.key
            for split in manifest.splits.values()
            for shard in split.image_shards()
            for entry in read_index(request.output, shard.file)
        }
    except DataError:
        return  # nothing finished to protect
    images = (shard for shard in plan.shards if shard.kind == df.IMAGES)
    now = {json.loads(line)["key"] for shard in images for line in shard.lines}
    if before and not before & now:
        raise ConfigError(
            f"'{request.output}' holds a dataset of {len(before)} other pictures; give another "
            "--output, or --overwrite"
        )
    say(
        f"the input changed since '{request.output}' was built: {len(now - before)} pictures are "
        f"new, {len(before - now)} are gone; shards that differ are built again"
    )


def _short(value: object) -> str:
    text = str(value)
    return repr(text) if len(text) < 40 and "\n" not in text else "(changed text)"


def check_budget(rejections: Sequence[Rejection], counted: int, request: BuildRequest) -> None:
    """Raises DataError where more of the input was refused than the build may do without."""
    refused = [r for r in rejections if r.counted]
    if not refused or len(refused) <= request.max_bad_fraction * counted:
        return
    # A reader must not go on with what an earlier build left, unaware that this one failed.
    withdraw(request.output)
    write_rejections(request.output, rejections)
    reasons = Counter(r.reason for r in refused).most_common()
    table = ", ".join(f"{count} {reason}" for reason, count in reasons)
    raise DataError(
        f"{len(refused)} of {counted} inputs refused, more than "
        f"--max_bad_fraction={request.max_bad_fraction:g}: {table}\n"
        f"see {os.path.join(request.output, df.REJECTED_FILE)}; no {df.MANIFEST_FILE} was written"
    )
