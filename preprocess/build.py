"""The whole build: source -> plan -> shards -> manifest, in that order and no other.

`dataset.json` is written last. A build that ends early for whatever reason leaves finished
shards and their markers, and no manifest: readers refuse the directory, and the same command
goes on from there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from tqdm import tqdm

from preprocess import dataset_format as df
from preprocess.augment import load_recipe
from preprocess.cli import say
from preprocess.errors import ConfigError, DataError, UsageError
from preprocess.plan import Options, Plan, make_plan
from preprocess.refusals import Rejection
from preprocess.sources import read_source
from preprocess.sources.rows import Request
from preprocess.tfrecord import write_text
from preprocess.versions import library_versions
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
    touched, DataError where the input is bad beyond the budget.
    """
    started = time.monotonic()
    recipe = (
        load_recipe(request.recipe or _default_recipe(request)) if request.variants > 1 else None
    )
    workspace = Workspace(request.output)
    _check_output(request.output)
    with workspace.locked():
        say(f"reading {request.kind}: {request.source.csv or request.source.images}")
        source = read_source(request.kind, request.source)
        options = _options(request, source.task, recipe.yaml if recipe else "")
        _check_same_options(workspace, options, request.overwrite)
        for warning in source.warnings:
            say(f"warning: {warning}")
        _check_budget(source.rejections, source.counted, request)
        plan = make_plan(source, options)
        workspace.write_plan(plan)
        reused = _still_good(workspace, plan)
        if len(reused) == len(plan.shards) and (manifest := _finished(request.output, plan)):
            say(f"nothing to do: '{request.output}' is already built from this input")
            return _summary(manifest, started, 0, len(manifest_shards(manifest)))
        # A manifest must not speak of shards that are about to change.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(request.output, df.MANIFEST_FILE))
        if reused:
            say(f"going on: {len(reused)} of {len(plan.shards)} shards are there already")
        _run_shards(workspace, plan, reused, request)
        reports = _reports(workspace, plan)
        rejections = [*source.rejections, *(r for report in reports for r in report.rejections)]
        _write_rejections(request.output, rejections)
        _check_budget(rejections, source.counted, request)
        manifest = _manifest(plan, reports, rejections, recipe.digest if recipe else "")
        _publish(request.output, manifest, options)
        built = sum(len(r.shards) for r in reports if r.fingerprint not in reused.values())
        return _summary(manifest, started, built, len(manifest_shards(manifest)) - built)


def manifest_shards(manifest: df.Manifest) -> list[df.Shard]:
    """Every shard of a dataset."""
    return [shard for split in manifest.splits.values() for shard in split.shards]


def _default_recipe(request: BuildRequest) -> str:
    return "faces" if request.kind == "fec" else "photos"


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


def _check_output(output: str) -> None:
    if os.path.exists(output) and not os.path.isdir(output):
        raise UsageError(f"--output='{output}' is a file")
    if os.path.isdir(output):
        ours = {FOLDER, df.MANIFEST_FILE}
        names = set(os.listdir(output))
        if names and not names & ours:
            raise UsageError(
                f"--output='{output}' is not empty and not a dataset directory; choose another"
            )
    try:
        os.makedirs(output, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--output='{output}': {error.strerror}") from None


def _check_same_options(workspace: Workspace, options: Options, overwrite: bool) -> None:
    before = workspace.options()
    if before is None or before == options:
        return
    if overwrite:
        workspace.forget()
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


def _short(value: object) -> str:
    text = str(value)
    return repr(text) if len(text) < 40 and "\n" not in text else "(changed text)"


def _check_budget(rejections: Sequence[Rejection], counted: int, request: BuildRequest) -> None:
    refused = [r for r in rejections if r.counted]
    if not refused or len(refused) <= request.max_bad_fraction * counted:
        return
    _write_rejections(request.output, rejections)
    reasons = Counter(r.reason for r in refused).most_common()
    table = ", ".join(f"{count} {reason}" for reason, count in reasons)
    raise DataError(
        f"{len(refused)} of {counted} inputs refused, more than "
        f"--max_bad_fraction={request.max_bad_fraction:g}: {table}\n"
        f"see {os.path.join(request.output, df.REJECTED_FILE)}; no {df.MANIFEST_FILE} was written"
    )


def _still_good(workspace: Workspace, plan: Plan) -> dict[str, str]:
    """Names and fingerprints of the shards that need not be built again.

    A picture shard's fingerprint is known now, a triplet shard's only when all pictures are
    done; its marker is taken here as it is and looked at again by build_triplet_shard().
    """
    good = {}
    for shard in plan.shards:
        report = workspace.report(shard.name)
        if report is None:
            continue
        if shard.kind == df.TRIPLETS or report.fingerprint == shard.fingerprint(plan.options):
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
    from preprocess import pipeline  # Beam takes a second to import

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
    with _progress(workspace, len(plan.shards)):
        try:
            pipeline.run(
                workspace.dataset,
                image_shards=[s.name for s in todo],
                triplet_shards=[s.name for s in plan.shards if s.kind == df.TRIPLETS],
                refused=sorted(known),
                workers=request.workers or len(os.sched_getaffinity(0)),
                variants_to_write=sum(len(s.lines) * s.variants for s in todo),
                beam_arguments=request.beam_arguments,
            )
        except RuntimeError as error:
            # Beam wraps what a worker raised into text.
            if "No space left on device" in str(error):
                raise OSError(28, "No space left on device", workspace.dataset) from None
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


def _write_rejections(output: str, rejections: Sequence[Rejection]) -> None:
    text = "".join(f"{rejection.to_json()}\n" for rejection in rejections)
    write_text(os.path.join(output, df.REJECTED_FILE), text)


def _manifest(
    plan: Plan, reports: Sequence[ShardReport], rejections: Sequence[Rejection], recipe: str
) -> df.Manifest:
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
        versions=library_versions(),
        seed=options.seed,
        variants=options.variants,
        recipe=recipe,
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


def _publish(output: str, manifest: df.Manifest, options: Options) -> None:
    if manifest.splits["train"].images == 0:
        raise DataError("every training picture was refused; see rejected.jsonl")
    _remove_leftovers(output, manifest)
    if options.recipe:
        write_text(os.path.join(output, df.RECIPE_FILE), options.recipe)
    if manifest.task == df.CLASSIFICATION:
        labels = "".join(f"{name}\n" for name in manifest.classes)
        write_text(os.path.join(output, df.LABELS_FILE), labels)
    write_text(os.path.join(output, df.MANIFEST_FILE), manifest.to_json())


def _remove_leftovers(output: str, manifest: df.Manifest) -> None:
    """Shards of an earlier plan, such as another number of shards, and torn temporary files."""
    named = {shard.file for shard in manifest_shards(manifest)}
    keep = named | {df.index_file(file) for file in named}
    for folder, folders, files in os.walk(output):
        folders[:] = [name for name in folders if name != FOLDER]
        for name in files:
            relative = os.path.relpath(os.path.join(folder, name), output).replace(os.sep, "/")
            ours = name.endswith((".tfrecord", ".index")) or ".tmp-" in name
            if ours and relative not in keep:
                os.unlink(os.path.join(folder, name))


def _summary(manifest: df.Manifest, started: float, built: int, reused: int) -> dict[str, Any]:
    return {
        "digest": manifest.digest,
        "pictures": sum(split.images for split in manifest.splits.values()),
        "triplets": sum(split.triplets for split in manifest.splits.values()),
        "variants": manifest.variants,
        "seconds": round(time.monotonic() - started, 3),
        "rejected": manifest.rejected,
        "shards_written": built,
        "shards_reused": reused,
    }
