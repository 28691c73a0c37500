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
from collections.abc import Iterable, Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from preprocess import dataset_format as df
from preprocess import stages, storage
from preprocess.augment import Recipe, variant_generator
from preprocess.decode import MAX_BYTES, Decoded, decode
from preprocess.encode import encode, resize
from preprocess.plan import Options, PictureEntry, ShardPlan, TripletEntry
from preprocess.progress import Advance, Tally, noted
from preprocess.publish import withdraw
from preprocess.refusals import Reason, Refused, Rejection
from preprocess.reuse import triplet_fingerprint, variants_kept
from preprocess.sources import idx
from preprocess.stages import Stopwatch
from preprocess.tfrecord import Feature, RecordWriter, encode_example
from preprocess.versions import deciding_versions
from preprocess.workspace import ShardReport, Workspace


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
        workspace.withdraw(name)
    with noted(workspace, name) as note:

        def tell(tally: Tally) -> None:
            note(tally)
            advance(tally)

        report = _write_variants(dataset, plan, options, range(kept, plan.variants), tell)
    if done is not None and kept:
        if done.refused_keys != report.refused_keys:
            # A picture came or went without a trace in its size or time, and all variants of a
            # shard hold the same pictures: the older ones are made again.
            withdraw(dataset)
            workspace.withdraw(name)
            return build_image_shard(dataset, name, advance)
        report = dataclasses.replace(report, shards=(*done.shards[:kept], *report.shards))
    workspace.commit(name, report)
    return report


def _write_variants(
    dataset: str, plan: ShardPlan, options: Options, variants: range, tell: Advance
) -> ShardReport:
    """Writes these variants of a picture shard, whole and synced; says what came of it."""
    watch = Stopwatch()
    recipe = Recipe.from_yaml(options.recipe) if options.recipe else None
    rejections: list[Rejection] = []
    refused: list[int] = []
    shapes: set[tuple[int, int, int]] = set()
    files = [df.image_shard_file(plan.split, v, plan.shard, plan.shards) for v in variants]
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(RecordWriter(os.path.join(dataset, file))) for file in files]
        entries = [PictureEntry(**json.loads(line)) for line in plan.lines]
        for entry, content in zip(entries, read_files(entries), strict=True):
            watch.lap(stages.READ)
            try:
                data, decoded = decode_picture(entry, content)
            except Refused as reason:
                refused.append(entry.key)
                rejections.append(
                    Rejection(entry.id, entry.line, "picture", reason.reason, reason.detail)
                )
                tell(Tally(refused=1))
                continue
            finally:
                watch.lap(stages.DECODE)
            before = sum(writer.bytes for writer in writers)
            records = image_records(entry, data, decoded, variants, options, recipe, watch)
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
    workspace.withdraw(name)
    entries = [TripletEntry(**json.loads(line)) for line in plan.lines]
    keys = [entry.keys for entry in entries]
    rejections: list[Rejection] = []
    file = df.triplet_shard_file(plan.split, plan.shard, plan.shards)
    with RecordWriter(os.path.join(dataset, file)) as writer:
        for entry, triple in zip(entries, keys, strict=True):
            bad = [i for i, key in zip(entry.ids, triple, strict=True) if key in out]
            if bad:
                names = ", ".join(bad)[:200]
                rejections.append(Rejection(names, entry.line, "triplet", Reason.PICTURE_REFUSED))
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


def read_picture(entry: PictureEntry) -> tuple[bytes, Decoded]:
    """decode_picture of one line on its own, read where it lies."""
    return decode_picture(entry, next(read_files([entry])))


def read_files(entries: Sequence[PictureEntry]) -> Iterator[bytes | OSError]:
    """The file's bytes of each of a plan's lines, or why there are none.

    A picture inside an idx file has no bytes of its own.
    """
    files = (entry.path for entry in entries if entry.item is None)
    contents = storage.read_many(files, MAX_BYTES + 1)  # decode() refuses what is longer
    for entry in entries:
        yield next(contents) if entry.item is None else b""


def decode_picture(entry: PictureEntry, content: bytes | OSError) -> tuple[bytes, Decoded]:
    """The file's bytes and the pixels of a plan's line; raises Refused where there are none."""
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
    data: bytes,
    decoded: Decoded,
    variants: Iterable[int],
    options: Options,
    recipe: Recipe | None,
    watch: Stopwatch,
) -> Iterable[tuple[bytes, tuple[int, int, int]]]:
    """The serialised record and the shape (H, W, C) of each of these variants of a picture.

    Variant 0 is the file's own bytes where they can be stored as they are and nothing else
    was asked for.
    """
    image = decoded.image
    if options.image_size:
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
                pixels = augmented(image, entry.id, variant, options.seed, recipe, watch)
            encoding, encoded = options.encoding, encode(pixels, options.encoding, options.quality)
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
        yield encode_example(features), (height, width, channels)


def augmented(
    image: NDArray[np.uint8],
    image_id: str,
    variant: int,
    seed: int,
    recipe: Recipe | None,
    watch: Stopwatch,
) -> NDArray[np.uint8]:
    """Variant `variant` of a picture uint8[H,W,C]; the shape stays. Grey pictures pass the
    recipe as RGB and come back as grey.
    """
    if recipe is None:
        raise ValueError("more than one variant without a recipe")
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
        raise FileNotFoundError(f"no plan in {workspace.root}")
    return options
