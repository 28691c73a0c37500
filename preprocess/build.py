"""The whole build: source -> plan -> shards -> manifest, in that order and no other.

`dataset.json` is written last. A build that ends early for whatever reason leaves finished
shards and their markers, and no manifest: readers refuse the directory, and the same command
goes on from there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

from preprocess import dataset_format as df
from preprocess import progress, reuse, storage
from preprocess.augment import Recipe, load_recipe
from preprocess.cli import say
from preprocess.errors import (
    DISK_FULL,
    ConfigError,
    DataError,
    OutputError,
    StorageError,
    UsageError,
)
from preprocess.plan import DRAWING_OPTIONS, Options, Plan, make_plan
from preprocess.publish import make_manifest, publish, remove_torn, withdraw, write_rejections
from preprocess.reading import find_manifest, read_index
from preprocess.refusals import Rejection
from preprocess.rehearsal import rehearse
from preprocess.sources import read_source
from preprocess.sources.rows import Request, Source
from preprocess.summary import summarise
from preprocess.workspace import FOLDER, ShardReport, Workspace

_WORKER_ERRORS = {error.__name__: error for error in (ConfigError, StorageError)}
_WORKER_ERROR = rf"preprocess\.errors\.({'|'.join(_WORKER_ERRORS)}): (.*?)(?: \[while running|\n)"


@dataclasses.dataclass(frozen=True)
class BuildRequest:
    """What `preprocess build` was asked for."""

    kind: str
    source: Request
    output: str
    variants: int
    recipe: str  # name or path; "" = the one that suits the source
    seed: int
    image_size: int
    resize_mode: str
    encoding: str  # "" = what suits the source
    quality: int
    shards: int
    max_bad_fraction: float
    workers: int  # 0 = the cores this process may use
    overwrite: bool
    beam_arguments: tuple[str, ...] = ()


def build(request: BuildRequest) -> dict[str, Any]:
    """Builds a dataset directory and returns what `build --json` prints.

    Raises UserError with its exit code: UsageError and ConfigError before anything is
    touched, DataError where the input is bad beyond the budget, OutputError for a full disk.
    """
    started = time.monotonic()
    recipe = _recipe(request)
    if request.beam_arguments:
        _pipeline().check_arguments(request.beam_arguments, request.output)
    workspace = Workspace(request.output)
    _check_output(request)
    with workspace.locked() as lock, _full_disk_explained(request.output):
        say(f"reading {request.kind}: {request.source.csv or request.source.images}")
        source = read_source(request.kind, request.source)
        options = _options(request, source.task, recipe.deciding if recipe else "")
        _check_same_options(workspace, options, request.overwrite)
        for warning in (*source.warnings, *_doubts(source)):
            say(f"warning: {warning}")
        _check_budget(source.rejections, source.counted, request)
        plan = make_plan(source, options)
        kept = reuse.still_good(workspace, plan, recipe, request.overwrite)
        before = _manifest(request.output)
        _check_same_pictures(request, plan, before, kept)
        rehearse(recipe, plan)
        workspace.write_plan(plan)
        if not reuse.stands(before, kept):
            # A manifest must not speak of shards that are about to change.
            withdraw(request.output)
        workspace.keep_only(kept)
        remove_torn(request.output)
        whole = reuse.complete(kept, plan)
        begun = time.monotonic()
        if not whole:
            _run_shards(workspace, plan, kept, request)
        building = time.monotonic() - begun
        reports = _reports(workspace, plan)
        rejections = [*source.rejections, *(r for report in reports for r in report.rejections)]
        _check_budget(rejections, source.counted, request)
        if whole and before is not None and before.fingerprint == plan.fingerprint():
            say(f"nothing to do: '{request.output}' is already built from this input")
            manifest = before
        else:
            write_rejections(request.output, rejections)
            manifest = make_manifest(plan, reports, rejections, recipe)
            lock.check()
            publish(request.output, manifest, recipe.yaml if recipe else "")
        seconds = time.monotonic() - started
        return summarise(manifest, plan, reports, kept, seconds, building)


def plan_build(request: BuildRequest) -> tuple[Source, Plan]:
    """The source and the plan of a build, with nothing written."""
    recipe = _recipe(request)
    source = read_source(request.kind, request.source)
    options = _options(request, source.task, recipe.deciding if recipe else "")
    return source, make_plan(source, options)


def _recipe(request: BuildRequest) -> Recipe | None:
    if request.variants == 1:
        return None
    recipe = load_recipe(request.recipe or ("faces" if request.kind == "fec" else "photos"))
    recipe.check()
    return recipe


def _options(request: BuildRequest, task: str, recipe: str) -> Options:
    # Handwritten digits of 28x28 would suffer from JPEG; a photo would not gain from PNG.
    suits = "png" if request.kind == "idx" else "jpeg"
    return Options(
        task=task,
        seed=request.seed,
        variants=request.variants,
        recipe=recipe,
        encoding=request.encoding or suits,
        quality=request.quality,
        image_size=request.image_size,
        resize_mode=request.resize_mode,
        shards=request.shards,
    )


def _check_output(request: BuildRequest) -> None:
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


def _doubts(source: Source) -> Iterator[str]:
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


def _check_same_options(workspace: Workspace, options: Options, overwrite: bool) -> None:
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


def _check_same_pictures(
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


def _check_budget(rejections: Sequence[Rejection], counted: int, request: BuildRequest) -> None:
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


def _manifest(output: str) -> df.Manifest | None:
    with contextlib.suppress(df.DatasetError):
        return find_manifest(output)
    return None


def _run_shards(
    workspace: Workspace, plan: Plan, kept: Mapping[str, ShardReport], request: BuildRequest
) -> None:
    there = {name: len(report.shards) for name, report in kept.items()}
    missing = {shard.name: shard.variants - there.get(shard.name, 0) for shard in plan.shards}
    todo = [shard for shard in plan.shards if shard.kind == df.IMAGES and missing[shard.name]]
    done = [kept[shard.name] for shard in plan.shards if not missing[shard.name]]
    grown = [there[shard.name] for shard in todo if shard.name in there]
    if grown:
        say(f"adding variants {min(grown)} to {plan.options.variants - 1}; the others stay")
    if done:
        say(f"going on: {len(done)} of {len(plan.shards)} shards are there already")
    variants = sum(len(shard.lines) * missing[shard.name] for shard in todo)
    say(
        f"building {len(plan.shards) - len(done)} of {len(plan.shards)} shards: "
        f"{sum(len(shard.lines) for shard in todo)} pictures, {variants} variants"
    )
    watch = progress.Watch(workspace, {shard.name: kept.get(shard.name) for shard in todo})
    pictures = sum(len(shard.lines) for shard in todo)
    with progress.bar(watch, pictures, variants), _worker_errors_told():
        _pipeline().run(
            workspace.dataset,
            image_shards=[s.name for s in todo],
            triplet_shards=[s.name for s in plan.shards if s.kind == df.TRIPLETS],
            refused=sorted({key for report in done for key in report.refused_keys}),
            workers=request.workers or len(os.sched_getaffinity(0)),
            variants=plan.options.variants,
            variants_to_write=variants,
            beam_arguments=request.beam_arguments,
        )


def _pipeline() -> ModuleType:
    from preprocess import quiet

    quiet.hush()
    from preprocess import pipeline  # Beam takes a second to import

    return pipeline


@contextlib.contextmanager
def _full_disk_explained(output: str) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError) as error:
        # Beam wraps what a worker raised into an exception with the same text, without number.
        for code in DISK_FULL:
            if getattr(error, "errno", None) == code or f"[Errno {code}]" in str(error):
                full = tempfile.gettempdir() if storage.is_remote(output) else output
                raise OutputError(
                    f"{os.strerror(code).lower()}: '{full}'; make room and run the same "
                    "command: finished shards are kept"
                ) from None
        raise


@contextlib.contextmanager
def _worker_errors_told() -> Iterator[None]:
    """A recipe that a worker cannot apply, a storage that it cannot reach: Beam adds to what it
    raised, or passes on its text.
    """
    try:
        yield
    except Exception as error:
        text = "".join(traceback.format_exception_only(error))
        found = re.search(_WORKER_ERROR, text)
        if found:
            raise _WORKER_ERRORS[found[1]](found[2]) from None
        raise


def _reports(workspace: Workspace, plan: Plan) -> list[ShardReport]:
    found = workspace.reports([shard.name for shard in plan.shards])
    for shard in plan.shards:
        if shard.name not in found:
            raise RuntimeError(f"shard {shard.name} was not built; do all workers see the output?")
    return [found[shard.name] for shard in plan.shards]
