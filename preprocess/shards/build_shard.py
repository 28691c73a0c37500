"""Building one shard: plain functions of its plan, which Beam only calls.

A picture is read and decoded once and all its variants are written from there, each to the
same shard of its variant's folder, so that every variant holds the same pictures in the same
order. The files appear under their names when they are whole, the marker after them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from preprocess import dataset_format as df
from preprocess import storage
from preprocess.augment import Recipe, variant_generator
from preprocess.augment import stage_clock as stages
from preprocess.augment.operation import MissingLibraryError
from preprocess.augment.stage_clock import Stopwatch
from preprocess.pictures.decode import Decoded, decode
from preprocess.pictures.refusal import one_line
from preprocess.shards.commit_marker import ShardReport, triplet_fingerprint, variants_kept
from preprocess.shards.contents import ContentHash, read_files
from preprocess.shards.encode import encode, resize
from preprocess.shards.shard_plan import Options, PictureEntry, ShardPlan, TripletEntry
from preprocess.shards.shard_progress import Advance, Tally, noted
from preprocess.shards.tfrecord import Feature, RecordWriter, encode_example
from preprocess.shards.versions import deciding_versions
from preprocess.shards.workspace import NO_PLAN, Workspace
from preprocess.shell.errors import OutputError, UserError
from preprocess.sources import idx
from preprocess.sources.refusals import REJECTED_TRIPLET, Reason, Refused, Rejection


def build_image_shard(dataset: str, name: str, advance: Advance = lambda _: None) -> ShardReport:
    """Builds what is missing of a picture shard: all its variants, those above the ones that it
    has, or nothing. Returns its marker. `advance` is called for each picture built.
    """
    workspace = Workspace(dataset)
    options = _require_options(workspace)
    plan = workspace.shard_plan(name)
    done = workspace.report(name)
    kept = variants_kept(done, plan, options)
    if done is not None and kept == plan.variants:
        return done
    if not kept:
        workspace.withdraw_marker(name)
    with noted(workspace, name) as note:

        def tell(tally: Tally) -> None:
            note(tally)
            advance(tally)

        report = write_variants(dataset, plan, options, range(kept, plan.variants), tell)
    if done is not None and kept:
        if done.refused_keys != report.refused_keys or done.content not in ("", report.content):
            # A picture changed without a trace in its size or time, and all variants of a shard
            # are of the same pictures: the older ones are made again.
            workspace.withdraw_manifest()
            workspace.withdraw_marker(name)
            return build_image_shard(dataset, name, advance)
        report = dataclasses.replace(report, shards=(*done.shards[:kept], *report.shards))
    workspace.commit(name, report)
    return report


def write_variants(
    dataset: str, plan: ShardPlan, options: Options, variants: range, tell: Advance
) -> ShardReport:
    """Writes these variants of a picture shard, whole and synced; says what came of it."""
    watch = Stopwatch()
    recipe = Recipe.from_yaml(options.recipe) if options.recipe else None
    rejections: list[Rejection] = []
    refused: list[int] = []
    shapes: set[tuple[int, int, int]] = set()
    contents = ContentHash()
    files = [df.image_shard_file(plan.split, v, plan.shard, plan.shards) for v in variants]
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(RecordWriter(os.path.join(dataset, file))) for file in files]
        entries = [PictureEntry(**json.loads(line)) for line in plan.lines]
        for entry, content in zip(entries, read_files(entries), strict=True):
            contents.add(entry, content)
            watch.lap(stages.READ)
            try:
                # All before the first is written: a picture is in every variant or in none.
                records = list(image_records(entry, content, variants, options, recipe, watch))
            except Refused as reason:
                refused.append(entry.key)
                rejections.append(
                    Rejection(entry.id, entry.line, "picture", reason.reason, reason.detail)
                )
                tell(Tally(refused=1))
                continue
            before = sum(writer.bytes for writer in writers)
            for writer, (record, shape) in zip(writers, records, strict=True):
                writer.write(entry.key, record)
                watch.lap(stages.WRITE)
                if _is_news(shape, shapes):
                    shapes.add(shape)
            size = sum(writer.bytes for writer in writers) - before
            tell(Tally(pictures=1, variants=len(writers), bytes=size))
        watch.lap(stages.WRITE)
    for file, writer in zip(files, writers, strict=True):
        storage.write_text(
            os.path.join(dataset, df.index_file(file)), df.format_index(writer.entries)
        )
    watch.lap(stages.SYNC)
    return ShardReport(
        fingerprint=plan.fingerprint(options),
        drawing=options.drawing if plan.variants > 1 else "",
        libraries=deciding_versions(recipe.libraries if recipe and plan.variants > 1 else ()),
        shards=tuple(
            df.Shard(file, df.IMAGES, variant, len(w.entries), w.bytes, w.sha256)
            for file, variant, w in zip(files, variants, writers, strict=True)
        ),
        rejections=tuple(rejections),
        refused_keys=tuple(refused),
        shapes=tuple(sorted(shapes)),
        inputs=len(plan.lines),
        seconds=watch.seconds,
        untimed=plan.untimed_fingerprint(options),
        content=contents.hexdigest,
    )


def build_triplet_shard(dataset: str, name: str, refused: Iterable[int]) -> ShardReport:
    """Builds a triplet shard without the triplets that name a refused picture."""
    workspace = Workspace(dataset)
    options = _require_options(workspace)
    plan = workspace.shard_plan(name)
    out = workspace.refused_keys() | set(refused)
    fingerprint = triplet_fingerprint(plan, options, out)
    done = workspace.report(name)
    if done is not None and done.fingerprint == fingerprint:
        return done

    watch = Stopwatch()
    workspace.withdraw_marker(name)
    entries = [TripletEntry(**json.loads(line)) for line in plan.lines]
    keys = [entry.keys for entry in entries]
    rejections: list[Rejection] = []
    file = df.triplet_shard_file(plan.split, plan.shard, plan.shards)
    with RecordWriter(os.path.join(dataset, file)) as writer:
        for entry, triple in zip(entries, keys, strict=True):
            bad = [i for i, key in zip(entry.ids, triple, strict=True) if key in out]
            if bad:
                names = ", ".join(bad)[:200]
                rejections.append(
                    Rejection(names, entry.line, REJECTED_TRIPLET, Reason.PICTURE_REFUSED)
                )
                continue
            record: dict[str, Feature] = {
                df.TripletKey.IMAGES: triple,
                df.TripletKey.VOTES: [float(vote) for vote in entry.votes],
                df.TripletKey.TYPE: entry.type.encode("utf-8"),
                df.TripletKey.ROW: entry.line,
            }
            writer.write(entry.line, encode_example(record))
        watch.lap(stages.WRITE)
    watch.lap(stages.SYNC)
    shard = df.Shard(file, df.TRIPLETS, 0, len(writer.entries), writer.bytes, writer.sha256)
    report = ShardReport(
        fingerprint=fingerprint,
        drawing="",
        libraries={},
        shards=(shard,),
        rejections=tuple(rejections),
        refused_keys=(),
        shapes=(),
        inputs=len(plan.lines),
        seconds=watch.seconds,
    )
    workspace.commit(name, report)
    return report


def decode_picture(entry: PictureEntry, content: bytes | OSError) -> tuple[bytes, Decoded]:
    """The file's bytes and the pixels of a plan's line; raises Refused if there are none."""
    if entry.item is not None:
        image = idx.load(entry.path, 3)[entry.item][:, :, np.newaxis]
        return b"", Decoded(image, None, verbatim=False)
    if isinstance(content, FileNotFoundError):
        raise Refused(Reason.MISSING_PICTURE, "no such file")
    if isinstance(content, OSError):
        raise Refused(Reason.UNREADABLE_FILE, content.strerror or str(content))
    return content, decode(content)


def image_records(
    entry: PictureEntry,
    content: bytes | OSError,
    variants: Iterable[int],
    options: Options,
    recipe: Recipe | None,
    watch: Stopwatch,
) -> Iterator[tuple[bytes, tuple[int, int, int]]]:
    """The serialised record and the shape (H, W, C) of each of these variants of a picture.

    Variant 0 is the file's own bytes where they can be stored as they are and nothing else
    was asked for.

    Args:
      entry: the picture's line of a plan.
      content: what `read_files` gave for it.
      variants: numbers; above 0 they need a recipe.
      options: of the build.
      recipe: None if there is variant 0 only.
      watch: gets a lap for each stage.

    Raises:
      Refused: whatever goes wrong with this picture, as it is read, decoded, resized, augmented or
        encoded. Nothing else is raised, but for a library that this machine lacks.
    """
    try:
        data, decoded = decode_picture(entry, content)
    finally:
        watch.lap(stages.DECODE)
    image = decoded.image
    if options.image_size:
        with _refusing(Reason.ENCODING_FAILED):
            image = resize(image, options.image_size, options.resize_mode)
        watch.lap(stages.RESIZE)
    height, width, channels = image.shape
    keep_file = decoded.verbatim and not options.image_size and options.encoding != "raw"
    for variant in variants:
        if variant == 0 and keep_file:
            encoding, encoded = decoded.encoding or "", data
        else:
            pixels = image
            if variant > 0:
                assert recipe is not None, "more than one variant without a recipe"
                with _refusing(Reason.RECIPE_FAILED):
                    pixels = augmented(image, entry.id, variant, options.seed, recipe, watch)
            encoding = options.encoding
            with _refusing(Reason.ENCODING_FAILED):
                encoded = encode(pixels, encoding, options.quality)
            watch.lap(stages.ENCODE)
        features: dict[str, Feature] = {
            df.ImageKey.ENCODED: encoded,
            df.ImageKey.FORMAT: encoding.encode(),
            df.ImageKey.ID: entry.id.encode("utf-8"),
            df.ImageKey.KEY: entry.key,
            df.ImageKey.VARIANT: variant,
            df.ImageKey.HEIGHT: height,
            df.ImageKey.WIDTH: width,
            df.ImageKey.CHANNELS: channels,
        }
        if entry.label is not None:
            features[df.ImageKey.LABEL] = entry.label
        features |= entry.features or {}
        yield encode_example(features), (height, width, channels)


@contextlib.contextmanager
def _refusing(reason: str) -> Iterator[None]:
    """Whatever OpenCV, a user's pipeline or our own limits raise for one picture refuses it."""
    try:
        yield
    except (MissingLibraryError, OutputError):
        raise
    except UserError as error:
        raise Refused(reason, str(error)) from None
    except Exception as error:
        raise Refused(reason, one_line(error)) from None


def augmented(
    image: NDArray[np.uint8],
    image_id: str,
    variant: int,
    seed: int,
    recipe: Recipe,
    watch: Stopwatch,
) -> NDArray[np.uint8]:
    """Variant `variant` of a picture uint8[H,W,C]; the shape stays. Grey pictures pass the
    recipe as RGB and come back as grey.
    """
    height, width, channels = image.shape
    rng = variant_generator(seed, recipe.digest, image_id, variant)
    drawn = recipe.draw(rng, height, width)
    watch.lap(stages.DRAW)
    colour = recipe.apply(as_rgb(image), drawn, watch)
    if channels == 3:
        return colour
    return np.asarray(cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY))[:, :, np.newaxis]


def as_rgb(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture uint8[H,W,1 or 3] as uint8[H,W,3]."""
    return image if image.shape[2] == 3 else np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2RGB))


def _is_news(shape: tuple[int, int, int], shapes: set[tuple[int, int, int]]) -> bool:
    """Whether it is the first to show that heights, widths or channels differ."""
    return any(
        shape[axis] not in known and len(known) < 2
        for axis, known in enumerate([{s[axis] for s in shapes} for axis in range(3)])
    )


def _require_options(workspace: Workspace) -> Options:
    options = workspace.options()
    if options is None:
        raise FileNotFoundError(f"{NO_PLAN}{workspace.root}")
    return options
