"""Building one shard: plain functions of its plan, which Beam only calls.

A picture is read and decoded once and all its variants are written from there, each to the
same shard of its variant's folder, so that every variant holds the same pictures in the same
order. The files appear under their names when they are whole, the marker after them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Container, Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from preprocess import dataset_format as df
from preprocess.augment import Recipe, variant_generator
from preprocess.decode import MAX_BYTES, Decoded, decode
from preprocess.encode import encode, resize
from preprocess.plan import Options, PictureEntry, ShardPlan, TripletEntry
from preprocess.refusals import Reason, Refused, Rejection
from preprocess.sources import idx
from preprocess.tfrecord import Feature, RecordWriter, encode_example, write_text
from preprocess.workspace import ShardReport, Workspace


def build_image_shard(dataset: str, name: str) -> ShardReport:
    """Builds a picture shard in all its variants, or returns its marker where it is done."""
    workspace = Workspace(dataset)
    options = _require_options(workspace)
    plan = workspace.shard_plan(name)
    fingerprint = plan.fingerprint(options)
    done = workspace.report(name)
    if done is not None and done.fingerprint == fingerprint:
        return done

    started = time.monotonic()
    workspace.withdraw(name)
    recipe = Recipe.from_yaml(options.recipe) if options.recipe else None
    rejections: list[Rejection] = []
    refused: list[int] = []
    shapes: set[tuple[int, int, int]] = set()
    files = [
        df.image_shard_file(plan.split, variant, plan.shard, plan.shards)
        for variant in range(plan.variants)
    ]
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(RecordWriter(os.path.join(dataset, file))) for file in files]
        for line in plan.lines:
            entry = PictureEntry(**json.loads(line))
            try:
                data, decoded = read_picture(entry)
            except Refused as reason:
                refused.append(entry.key)
                rejections.append(
                    Rejection(entry.id, entry.line, "picture", reason.reason, reason.detail)
                )
                continue
            records = image_records(entry, data, decoded, plan.variants, options, recipe)
            for writer, (record, shape) in zip(writers, records, strict=True):
                writer.write(entry.key, record)
                if _is_news(shape, shapes):
                    shapes.add(shape)
    for file, writer in zip(files, writers, strict=True):
        write_text(os.path.join(dataset, df.index_file(file)), df.format_index(writer.entries))
    report = ShardReport(
        fingerprint=fingerprint,
        shards=tuple(
            df.Shard(file, df.IMAGES, variant, len(w.entries), w.bytes, w.sha256)
            for variant, (file, w) in enumerate(zip(files, writers, strict=True))
        ),
        rejections=tuple(rejections),
        refused_keys=tuple(refused),
        shapes=tuple(sorted(shapes)),
        inputs=len(plan.lines),
        seconds=time.monotonic() - started,
    )
    workspace.commit(name, report)
    return report


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

    started = time.monotonic()
    workspace.withdraw(name)
    entries = [TripletEntry(**json.loads(line)) for line in plan.lines]
    keys = [_keys(entry) for entry in entries]
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
    shard = df.Shard(file, df.TRIPLETS, 0, len(writer.entries), writer.bytes, writer.sha256)
    report = ShardReport(
        fingerprint=fingerprint,
        shards=(shard,),
        rejections=tuple(rejections),
        refused_keys=(),
        shapes=(),
        inputs=len(plan.lines),
        seconds=time.monotonic() - started,
    )
    workspace.commit(name, report)
    return report


def triplet_fingerprint(plan: ShardPlan, options: Options, refused: Container[int]) -> str:
    """Fingerprint of a triplet shard: which of its pictures were refused decides it too, and is
    known only when all pictures are done.
    """
    entries = (TripletEntry(**json.loads(line)) for line in plan.lines)
    touched = sorted({key for entry in entries for key in _keys(entry) if key in refused})
    return hashlib.sha256(f"{plan.fingerprint(options)} {touched}".encode()).hexdigest()


def read_picture(entry: PictureEntry) -> tuple[bytes, Decoded]:
    """The file's bytes and the pixels of a plan's line; raises Refused where there are none.

    A picture inside an idx file has no bytes of its own.
    """
    if entry.item is not None:
        image = idx.load(entry.path, 3)[entry.item][:, :, np.newaxis]
        return b"", Decoded(image, None, verbatim=False)
    try:
        with open(entry.path, "rb") as file:
            data = file.read(MAX_BYTES + 1)  # decode() refuses what is longer
    except FileNotFoundError:
        raise Refused(Reason.MISSING_PICTURE, "no such file") from None
    except OSError as error:
        raise Refused(Reason.UNREADABLE_FILE, error.strerror or str(error)) from None
    return data, decode(data)


def image_records(
    entry: PictureEntry,
    data: bytes,
    decoded: Decoded,
    variants: int,
    options: Options,
    recipe: Recipe | None,
) -> Iterable[tuple[bytes, tuple[int, int, int]]]:
    """The serialised record and the shape (H, W, C) of each variant of a picture.

    Variant 0 is the file's own bytes where they can be stored as they are and nothing else
    was asked for.
    """
    image = decoded.image
    if options.image_size:
        image = resize(image, options.image_size, options.resize_mode)
    height, width, channels = image.shape
    keep_file = decoded.verbatim and not options.image_size and options.encoding != "raw"
    for variant in range(variants):
        if variant == 0 and keep_file:
            encoding, encoded = decoded.encoding or "", data
        else:
            pixels = image
            if variant > 0:
                pixels = augmented(image, entry.id, variant, options.seed, recipe)
            encoding, encoded = options.encoding, encode(pixels, options.encoding, options.quality)
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
    image: NDArray[np.uint8], image_id: str, variant: int, seed: int, recipe: Recipe | None
) -> NDArray[np.uint8]:
    """Variant `variant` of a picture uint8[H,W,C]; the shape stays. Grey pictures pass the
    recipe as RGB and come back as grey.
    """
    if recipe is None:
        raise ValueError("more than one variant without a recipe")
    height, width, channels = image.shape
    rng = variant_generator(seed, recipe.digest, image_id, variant)
    drawn = recipe.draw(rng, height, width)
    colour = recipe.apply(as_rgb(image), drawn)
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


def _keys(entry: TripletEntry) -> list[int]:
    return [df.image_key(image_id) for image_id in entry.ids]


def _require_options(workspace: Workspace) -> Options:
    options = workspace.options()
    if options is None:
        raise FileNotFoundError(f"no plan in {workspace.root}")
    return options
