"""Conditions under which a build stops: before anything is written, or with too much bad input."""

from __future__ import annotations

import dataclasses
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from preprocess import dataset_format as df
from preprocess import storage
from preprocess.build import reuse
from preprocess.build.build_request import BuildRequest
from preprocess.build.dataset_plan import Plan
from preprocess.build.publish import write_rejections
from preprocess.shards.commit_marker import ShardReport
from preprocess.shards.reading import read_index
from preprocess.shards.shard_plan import DRAWING_OPTIONS, Options
from preprocess.shards.workspace import FOLDER, Workspace
from preprocess.shell.cli import say
from preprocess.shell.errors import ConfigError, DataError, UsageError
from preprocess.sources import find_source
from preprocess.sources.leftovers import is_leftover
from preprocess.sources.refusals import Rejection
from preprocess.sources.rows import Request, Source
from preprocess.sources.splitting import TRAIN, VALIDATION
from preprocess.storage import local


def check_output(request: BuildRequest) -> None:
    """Creates the output folder; rejects one inside a class folder, or with unrelated content."""
    output = request.output
    images = request.source.images
    if find_source(request.kind).owns_images and images and _is_below(output, images):
        raise UsageError(
            f"--output='{output}' is inside --images, where it would be read as a class; "
            "choose a folder outside"
        )
    try:
        storage.make_folder(output)
        names = set(storage.names(output))
    except OSError as error:
        reason = "is a file" if os.path.isfile(output) else error.strerror
        raise UsageError(f"--output='{output}': {reason}") from None
    names = {name for name in names if not is_leftover(name)}
    if names and not names & {FOLDER, df.MANIFEST_FILE}:
        raise UsageError(
            f"--output='{output}' is not empty and not a dataset directory; choose another"
        )
    if names and not storage.is_remote(output) and (links := local.links_out(output)):
        raise UsageError(
            f"--output='{output}' has links that lead out of it, through which a build would "
            f"write elsewhere: {', '.join(ascii(link)[1:-1] for link in links[:3])}; remove them"
        )


def caveats(source: Source, request: Request) -> Iterator[str]:
    """Warnings about what is possible, but rarely intended."""
    splits = {picture.split for picture in source.pictures}
    drawn = {name for name, _ in request.splits.fractions}
    if request.validation_fraction:
        drawn.add(VALIDATION)
    empty = sorted(drawn - splits) if source.pictures else []
    if empty:
        flag = "--splits" if request.splits.fractions else "--validation_fraction"
        yield (
            f"{flag} gave {' and '.join(empty)} no picture: there are only {len(source.pictures)} "
            "pictures; set larger fractions"
        )
    elif splits == {TRAIN}:
        yield (
            "there is only a training split, so nothing to evaluate on; set "
            "--splits=train:0.8,test:0.2 or --validation_fraction=0.1"
        )
    if splits and TRAIN not in splits:
        yield (
            f"there is no training split, only {', '.join(sorted(splits))}: enough for `trainer "
            f"evaluate --split={min(splits)}` and `trainer embed`, but not for `trainer train`"
        )
    if len(source.classes) == 1 and df.ImageKey.LABEL in df.learned_keys(source.task):
        yield f"there is only one class, '{source.classes[0]}', so nothing to distinguish"


def mixed_sizes(task: str, shapes: Iterable[tuple[int, int, int]]) -> Iterator[str]:
    """A warning if training would reject pictures of these shapes (H, W, C)."""
    sizes = sorted({shape[:2] for shape in shapes})
    if not df.learned_keys(task) and len(sizes) > 1:
        (height, width), (other_height, other_width) = sizes[0], sizes[-1]
        yield (
            f"the pictures have several sizes ({width}x{height} and {other_width}x{other_height} "
            "among them), but training on triplets needs a single one: build with --image_size=N"
        )


def _is_below(path: str, folder: str) -> bool:
    if storage.is_remote(path) or storage.is_remote(folder):
        return f"{path}/".startswith(f"{storage.absolute(folder)}/")
    folder = os.path.realpath(folder)
    return os.path.commonpath((os.path.realpath(path), folder)) == folder


def check_same_options(workspace: Workspace, options: Options, overwrite: bool) -> None:
    """Rejects options that differ from those of an earlier build in this directory."""
    before = workspace.options()
    if before == options or overwrite:
        return
    if before is None:
        if storage.exists(os.path.join(workspace.dataset, df.MANIFEST_FILE)):
            raise ConfigError(
                f"'{workspace.dataset}' has a dataset, but no record of its options "
                f"({FOLDER}/options.json); set another --output, or --overwrite"
            )
        return
    # More variants are added to existing ones; options that only affect variants above 0 may change
    # while there are none, and do not matter when none are requested.
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
        recipe = os.path.join(workspace.dataset, df.RECIPE_FILE)
        differs = "recipe" not in free and before.recipe != options.recipe
        old = f" (--recipe={recipe})" if differs and storage.exists(recipe) else ""
        raise ConfigError(
            f"'{workspace.dataset}' was built with other options ({'; '.join(changed)}); "
            f"set the old ones{old}, another --output, or --overwrite"
        )


def check_same_pictures(
    request: BuildRequest,
    plan: Plan,
    manifest: df.Manifest | None,
    kept: Mapping[str, ShardReport],
) -> None:
    """Reports how the input changed; refuses to replace a dataset of entirely different pictures,
    since --output is then probably mistyped.
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
        return  # no finished dataset to protect
    images = (shard for shard in plan.shards if shard.kind == df.IMAGES)
    now = {json.loads(line)["key"] for shard in images for line in shard.lines}
    if before and not before & now:
        raise ConfigError(
            f"'{request.output}' has a dataset of {len(before)} other pictures; set another "
            "--output, or --overwrite to replace it"
        )
    if before == now:
        say(
            f"'{request.output}' was built from the same pictures with other splits, labels or "
            "options; shards that differ are built again"
        )
        return
    say(
        f"the input has changed since '{request.output}' was built: {len(now - before)} pictures "
        f"are new, {len(before - now)} are gone; affected shards are rebuilt"
    )


def _short(value: object) -> str:
    text = str(value)
    return repr(text) if len(text) < 40 and "\n" not in text else "(changed text)"


def check_budget(rejections: Sequence[Rejection], counted: int, request: BuildRequest) -> None:
    """Raises DataError if more of the input was refused than --max_bad_fraction allows."""
    refused = [r for r in rejections if r.counted]
    if not refused or len(refused) <= request.max_bad_fraction * counted:
        return
    # Readers must not use the result of an earlier build without knowing that this one failed.
    Workspace(request.output).withdraw_manifest()
    write_rejections(request.output, rejections)
    reasons = Counter(r.reason for r in refused).most_common()
    table = ", ".join(f"{count} {reason}" for reason, count in reasons)
    raise DataError(
        f"{len(refused)} of {counted} inputs refused, more than "
        f"--max_bad_fraction={request.max_bad_fraction:g}: {table}\n"
        f"see {os.path.join(request.output, df.REJECTED_FILE)}; no {df.MANIFEST_FILE} was written"
    )
