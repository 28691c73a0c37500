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
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

from tqdm import tqdm

from preprocess import dataset_format as df
from preprocess.augment import Recipe, load_recipe
from preprocess.cli import say
from preprocess.errors import DISK_FULL, ConfigError, DataError, OutputError, UsageError
from preprocess.plan import Options, Plan, make_plan
from preprocess.publish import all_shards, make_manifest, publish, withdraw, write_rejections
from preprocess.reading import read_index
from preprocess.refusals import Rejection
from preprocess.rehearsal import rehearse
from preprocess.sources import read_source
from preprocess.sources.rows import Request, Source
from preprocess.workspace import FOLDER, ShardReport, Workspace

POLL_SECONDS = 0.3  # how often the progress bar looks at the markers


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
    with workspace.locked(), _full_disk_explained(request.output):
        say(f"reading {request.kind}: {request.source.csv or request.source.images}")
        source = read_source(request.kind, request.source)
        options = _options(request, source.task, recipe.deciding if recipe else "")
        _check_same_options(workspace, options, request.overwrite)
        for warning in (*source.warnings, *_doubts(source)):
            say(f"warning: {warning}")
        _check_budget(source.rejections, source.counted, request)
        plan = make_plan(source, options)
        _check_same_pictures(request, plan)
        rehearse(recipe, plan)
        workspace.write_plan(plan)
        reused = _still_good(workspace, plan)
        workspace.keep_only(reused)
        before = _finished(request.output, plan) if len(reused) == len(plan.shards) else None
        if before is None:
            # A manifest must not speak of shards that are about to change.
            withdraw(request.output)
        if len(reused) < len(plan.shards):
            if reused:
                say(f"going on: {len(reused)} of {len(plan.shards)} shards are there already")
            _run_shards(workspace, plan, reused, request)
        reports = _reports(workspace, plan)
        rejections = [*source.rejections, *(r for report in reports for r in report.rejections)]
        _check_budget(rejections, source.counted, request)
        if before is not None:
            say(f"nothing to do: '{request.output}' is already built from this input")
            return _summary(before, started, 0)
        write_rejections(request.output, rejections)
        manifest = make_manifest(plan, reports, rejections, recipe)
        publish(request.output, manifest, recipe.yaml if recipe else "")
        kept = set(reused.values())
        built = sum(len(r.shards) for r in reports if r.fingerprint not in kept)
        return _summary(manifest, started, built)


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
        os.makedirs(output, exist_ok=True)
        names = set(os.listdir(output))
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
    folder = os.path.realpath(folder)
    return os.path.commonpath((os.path.realpath(path), folder)) == folder


def _check_same_options(workspace: Workspace, options: Options, overwrite: bool) -> None:
    before = workspace.options()
    if before == options or overwrite:
        return
    if before is None:
        if os.path.exists(os.path.join(workspace.dataset, df.MANIFEST_FILE)):
            raise ConfigError(
                f"'{workspace.dataset}' holds a dataset, but not how it was built "
                f"({FOLDER}/options.json); give another --output, or --overwrite"
            )
        return
    changed = [
        f"{field.name} {_short(getattr(before, field.name))} -> "
        f"{_short(getattr(options, field.name))}"
        for field in dataclasses.fields(Options)
        if getattr(before, field.name) != getattr(options, field.name)
    ]
    raise ConfigError(
        f"'{workspace.dataset}' was built with other options ({'; '.join(changed)}); "
        "give the old ones, another --output, or --overwrite"
    )


def _check_same_pictures(request: BuildRequest, plan: Plan) -> None:
    """Says what became of the input; refuses to replace a dataset of wholly other pictures,
    which is more often a mistyped --output than meant.
    """
    try:
        manifest = df.Manifest.load(request.output)
        before = {
            entry.key
            for split in manifest.splits.values()
            for shard in split.image_shards()
            for entry in read_index(request.output, shard.file)
        }
    except (df.DatasetError, DataError):
        return  # nothing finished to protect
    if request.overwrite or manifest.fingerprint == plan.fingerprint():
        return
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


def _still_good(workspace: Workspace, plan: Plan) -> dict[str, str]:
    """Names and fingerprints of the shards that need not be built again.

    A triplet shard's fingerprint is known only when all pictures are done; until then its
    marker is taken as it is, and looked at again by build_triplet_shard().
    """
    from preprocess.shards import triplet_fingerprint

    good = {}
    refused = set(plan.refused_keys)
    images = [shard for shard in plan.shards if shard.kind == df.IMAGES]
    for shard in images:
        report = workspace.report(shard.name)
        if report is not None and report.fingerprint == shard.fingerprint(plan.options):
            good[shard.name] = report.fingerprint
            refused.update(report.refused_keys)
    all_done = len(good) == len(images)
    for shard in plan.shards:
        if shard.kind != df.TRIPLETS or (report := workspace.report(shard.name)) is None:
            continue
        if not all_done or report.fingerprint == triplet_fingerprint(shard, plan.options, refused):
            good[shard.name] = report.fingerprint
    return good


def _finished(output: str, plan: Plan) -> df.Manifest | None:
    with contextlib.suppress(df.DatasetError):
        manifest = df.Manifest.load(output)
        if manifest.fingerprint == plan.fingerprint():
            return manifest
    return None


def _run_shards(
    workspace: Workspace, plan: Plan, reused: dict[str, str], request: BuildRequest
) -> None:
    images = [s for s in plan.shards if s.kind == df.IMAGES]
    todo = [s for s in images if s.name not in reused]
    known = {
        key
        for shard in images
        if shard.name in reused and (report := workspace.report(shard.name))
        for key in report.refused_keys
    }
    say(
        f"building {len(plan.shards) - len(reused)} of {len(plan.shards)} shards: "
        f"{sum(len(s.lines) for s in todo)} pictures, "
        f"{sum(len(s.lines) * s.variants for s in todo)} variants"
    )
    with _progress(workspace, len(plan.shards)), _recipe_blamed():
        _pipeline().run(
            workspace.dataset,
            image_shards=[s.name for s in todo],
            triplet_shards=[s.name for s in plan.shards if s.kind == df.TRIPLETS],
            refused=sorted(known),
            workers=request.workers or len(os.sched_getaffinity(0)),
            variants_to_write=sum(len(s.lines) * s.variants for s in todo),
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
                raise OutputError(
                    f"{os.strerror(code).lower()}: '{output}'; make room and run the same "
                    "command: finished shards are kept"
                ) from None
        raise


@contextlib.contextmanager
def _recipe_blamed() -> Iterator[None]:
    """A recipe that a worker cannot apply: Beam adds to what it raised, or passes on its text."""
    try:
        yield
    except Exception as error:
        text = "".join(traceback.format_exception_only(error))
        found = re.search(r"preprocess\.errors\.ConfigError: (.*?)(?: \[while running|\n)", text)
        if found:
            raise ConfigError(found[1]) from None
        raise


@contextlib.contextmanager
def _progress(workspace: Workspace, total: int) -> Iterator[None]:
    """A bar over finished shards, read from the markers: the same on any runner."""
    done = threading.Event()
    with tqdm(total=total, unit="shard", disable=None, initial=workspace.finished()) as bar:

        def watch() -> None:
            while not done.wait(POLL_SECONDS):
                bar.update(workspace.finished() - bar.n)

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()
            bar.update(workspace.finished() - bar.n)


def _reports(workspace: Workspace, plan: Plan) -> list[ShardReport]:
    reports = []
    for shard in plan.shards:
        report = workspace.report(shard.name)
        if report is None:
            raise RuntimeError(f"shard {shard.name} was not built; do all workers see the output?")
        reports.append(report)
    return reports


def _summary(manifest: df.Manifest, started: float, built: int) -> dict[str, Any]:
    return {
        "digest": manifest.digest,
        "pictures": sum(split.images for split in manifest.splits.values()),
        "triplets": sum(split.triplets for split in manifest.splits.values()),
        "variants": manifest.variants,
        "seconds": round(time.monotonic() - started, 3),
        "rejected": manifest.rejected,
        "shards_written": built,
        "shards_reused": len(all_shards(manifest)) - built,
    }
