"""The whole build: source -> plan -> shards -> manifest, in this order.

`dataset.json` is written last. A build that ends early for any reason leaves finished shards and
their markers, and no manifest: readers reject the directory, and the same command resumes from
there. Only when variants are added, so that every file of an earlier manifest stays unchanged, does
that manifest stay until the new one replaces it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

from preprocess import dataset_format as df
from preprocess import storage
from preprocess.augment import Recipe, load_recipe
from preprocess.build import progress_bar, reuse
from preprocess.build.build_request import BuildRequest
from preprocess.build.dataset_plan import Plan, make_plan
from preprocess.build.preconditions import (
    caveats,
    check_budget,
    check_output,
    check_same_options,
    check_same_pictures,
    mixed_sizes,
)
from preprocess.build.publish import make_manifest, publish, remove_torn, write_rejections
from preprocess.build.recipe_trial import rehearse
from preprocess.build.refusal_examples import say_examples
from preprocess.build.summary import summarise
from preprocess.engines import engine
from preprocess.engines.light_import import without_connectors
from preprocess.shards.commit_marker import ShardReport
from preprocess.shards.open_files import check_open_files
from preprocess.shards.reading import find_manifest
from preprocess.shards.shard_plan import Options
from preprocess.shards.workspace import Workspace
from preprocess.shell.cli import say
from preprocess.shell.errors import DISK_FULL, ConfigError, DataError, OutputError, StorageError
from preprocess.shell.json_text import JsonObject
from preprocess.shell.reference_source import source_record
from preprocess.shell.references import absolute_reference, is_reference
from preprocess.sources import find_source, read_source
from preprocess.sources.rows import Source

_WORKER_ERRORS = {
    error.__name__: error for error in (ConfigError, DataError, OutputError, StorageError)
}
_WORKER_ERROR = (
    rf"preprocess\.shell\.errors\.({'|'.join(_WORKER_ERRORS)}): (.*?)(?: \[while running|\n)"
)


def build(request: BuildRequest) -> dict[str, Any]:
    """Builds a dataset directory and returns what `build --json` prints.

    Raises UserError with its exit code: UsageError and ConfigError before anything is modified,
    DataError if too much of the input is bad, OutputError for a full disk.
    """
    started = time.monotonic()
    recipe = _recipe(request)
    if request.beam_arguments:
        beam_job(request.beam_arguments).check_arguments(request.beam_arguments, request.output)
    check_open_files(request.variants)
    workspace = Workspace(request.output)
    check_output(request)
    with workspace.locked() as lock, full_disk_explained(request.output):
        say(f"reading {request.kind}: {request.source.csv or request.source.images}")
        source = read_source(request.kind, request.source)
        options = _options(request, source.task, recipe.deciding if recipe else "")
        check_same_options(workspace, options, request.overwrite)
        for warning in (*source.warnings, *caveats(source, request.source)):
            say(f"warning: {warning}")
        say_examples(source.rejections)
        check_budget(source.rejections, source.counted, request)
        plan = make_plan(source, options)
        kept = reuse.still_good(workspace, plan, recipe, request.overwrite)
        before = _manifest(request.output)
        check_same_pictures(request, plan, before, kept)
        rehearse(recipe, plan)
        workspace.write_plan(plan.options, plan.shards, plan.refused_keys)
        # A million pictures take a gigabyte here, and are on the disk by now.
        plan = plan.outline()
        source.pictures, source.triplets = [], []
        if not reuse.stands(before, kept):
            # A manifest must not refer to shards that are about to change.
            workspace.withdraw_manifest()
        workspace.keep_only(kept)
        if request.overwrite:  # only now, when nothing of an earlier build is left to resume from
            workspace.begin_overwriting()
        remove_torn(request.output)
        whole = reuse.complete(kept, plan)
        begun = time.monotonic()
        if not whole:
            _run_shards(workspace, plan, kept, request)
        building = time.monotonic() - begun
        reports = _reports(workspace, plan)
        refused = [rejection for report in reports for rejection in report.rejections]
        say_examples(refused)
        for warning in mixed_sizes(source.task, (s for report in reports for s in report.shapes)):
            say(f"warning: {warning}")
        rejections = [*source.rejections, *refused]
        check_budget(rejections, source.counted, request)
        if whole and before is not None and before.fingerprint == plan.fingerprint():
            say(f"nothing to do: '{request.output}' is already built from this input")
            manifest = before
        else:
            write_rejections(request.output, rejections)
            manifest = make_manifest(plan, reports, rejections, recipe)
            manifest = dataclasses.replace(manifest, references=_references(request, recipe))
            lock.check()
            publish(request.output, manifest, recipe.yaml if recipe else "")
        workspace.end_overwriting()
        seconds = time.monotonic() - started
        return summarise(manifest, plan, reports, kept, seconds, building, source.spellings)


def plan_build(request: BuildRequest) -> tuple[Source, Plan]:
    """The source and the plan of a build; writes nothing."""
    recipe = _recipe(request)
    source = read_source(request.kind, request.source)
    source.warnings += caveats(source, request.source)
    options = _options(request, source.task, recipe.deciding if recipe else "")
    return source, make_plan(source, options)


def _recipe(request: BuildRequest) -> Recipe | None:
    if request.variants == 1:
        return None
    recipe = load_recipe(request.recipe or find_source(request.kind).recipe)
    recipe.check()
    return recipe


def _references(request: BuildRequest, recipe: Recipe | None) -> dict[str, JsonObject]:
    """The entry of dataset.json about the user's own code."""
    own = is_reference(request.kind)
    return {
        **({"--source": source_record(absolute_reference(request.kind))} if own else {}),
        **(recipe.sources if recipe else {}),
    }


def _options(request: BuildRequest, task: str, recipe: str) -> Options:
    return Options(
        task=task,
        seed=request.seed,
        variants=request.variants,
        recipe=recipe,
        encoding=request.encoding or find_source(request.kind).encoding,
        quality=request.quality,
        image_size=request.image_size,
        resize_mode=request.resize_mode,
        shards=request.shards,
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
        say(f"resuming: {len(done)} of {len(plan.shards)} shards are built already")
    variants = sum(shard.inputs * missing[shard.name] for shard in todo)
    say(
        f"building {len(plan.shards) - len(done)} of {len(plan.shards)} shards: "
        f"{sum(shard.inputs for shard in todo)} pictures, {variants} variants"
    )
    watch = progress_bar.Watch(workspace, {shard.name: kept.get(shard.name) for shard in todo})
    pictures = sum(shard.inputs for shard in todo)
    with progress_bar.bar(watch, pictures, variants), worker_errors_told():
        job = beam_job(request.beam_arguments)
        workers = request.workers or len(os.sched_getaffinity(0))
        job.run(
            workspace.dataset,
            image_shards=[s.name for s in todo],
            triplet_shards=[s.name for s in plan.shards if s.kind == df.TRIPLETS],
            refused=sorted({key for report in done for key in report.refused_keys}),
            local=job.LocalRun(workers, plan.options.variants, variants),
            beam_arguments=request.beam_arguments,
        )


def beam_job(beam_arguments: Sequence[str]) -> ModuleType:
    """The module that runs jobs, imported quietly."""
    from preprocess.shell import quiet

    quiet.hush()
    local = not engine.names_runner(beam_arguments)
    with without_connectors() if local else contextlib.nullcontext():
        from preprocess.engines import beam_job as pipeline  # Beam takes a second to import

    return pipeline


@contextlib.contextmanager
def full_disk_explained(output: str) -> Iterator[None]:
    """Turns what a full disk raises into OutputError."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        # Beam wraps a worker's exception into one with the same text but without its number.
        for code in DISK_FULL:
            if getattr(error, "errno", None) == code or f"[Errno {code}]" in str(error):
                full = tempfile.gettempdir() if storage.is_remote(output) else output
                raise OutputError(
                    f"{os.strerror(code).lower()}: '{full}'; make room and run the same "
                    "command: finished shards are kept"
                ) from None
        raise


@contextlib.contextmanager
def worker_errors_told() -> Iterator[None]:
    """The error of a worker that cannot apply a recipe or reach a storage: Beam adds to what it
    raised, or passes on only its text.
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
