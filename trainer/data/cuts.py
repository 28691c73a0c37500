"""A reader's pipeline cut after each of its stages, so that each stage can be timed separately.

The cuts use the same functions as the pipeline. What a cut counts depends on the result of its
last stage, since TensorFlow would otherwise skip that stage.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

import tensorflow as tf

from preprocess.dataset_format import ImageKey
from trainer.data.decoding import Decoder, parse, parse_one
from trainer.data.rows import Tensors

if TYPE_CHECKING:
    from trainer.data.table import PictureTable

PICTURES_AN_ELEMENT = 64  # of a table's records; with one at a time, Python's time would dominate
# Bytes of pixels of the part of a large table that is built over and over and gathered from. It has
# the same cost per picture as the whole, as it does not fit into the processor's caches.
BUILT_BYTES, GATHERED_BYTES = 64 << 20, 256 << 20


@dataclasses.dataclass(frozen=True)
class Cut:
    """A reader's pipeline up to and including one stage, for timing.

    Each cut adds one stage to the previous one. After "table" this starts over: later stages gather
    from a finished table.

    Attributes:
      stage: "storage", "parse", "decode", "table" or "host_map".
      dataset: builds an infinite tf.data.Dataset of int64 []: the number of pictures that each
        element took through the stages.
      pictures_a_step: pictures that these stages handle in a training step, over all replicas of
        this process; a mean if they fill a table for each pass.
      once: whether this happens only at the start of a run (a table that serves all passes);
        pictures_a_step is then 0.
    """

    stage: str
    dataset: Callable[[], tf.data.Dataset]
    pictures_a_step: float
    once: bool = False


def count(values: tf.Tensor) -> tf.Tensor:
    """int64 []: how many values (texts, or numbers from 0 on), counted by looking at each of them.

    Their number alone is often known in advance, and TensorFlow would then not compute them.
    """
    sizes = tf.strings.length(values) if values.dtype == tf.string else values
    return tf.reduce_sum(tf.cast(tf.cast(sizes, tf.int32) >= 0, tf.int64))


def first_pixels(pictures: tf.Tensor) -> tf.Tensor:
    """uint8 [...] of pictures uint8 [..., H, W, C]: one value of each, to count them."""
    return pictures[..., 0, 0, 0]


def count_decoded(decoder: Decoder, features: Tensors) -> tf.Tensor:
    """int64 []: how many of b parsed records were decoded, without stacking their pixels."""
    return count(
        tf.map_fn(
            lambda one: first_pixels(decoder.decode(one)),
            features,
            fn_output_signature=tf.TensorSpec([], tf.uint8),
        )
    )


def batch_cut(stage: str, batches: Callable[[], tf.data.Dataset], pictures_a_step: float) -> Cut:
    """The cut after whole batches."""
    return Cut(
        stage,
        lambda: batches().map(lambda batch: count(first_pixels(batch["image"]))),
        pictures_a_step,
    )


def stream_cuts(
    decoder: Decoder,
    streamed: Callable[[Callable[..., tf.Tensor]], tf.data.Dataset],
    pictures_a_step: float,
) -> list[Cut]:
    """The cuts of streaming, up to "decode".

    Args:
      decoder: turns records into pixels.
      streamed: applies a function to each batch as it is read, with its `payload` string[b].
      pictures_a_step: see `Cut`.
    """
    stages: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
        "storage": lambda batch: count(batch["payload"]),
        "parse": lambda batch: count(parse(batch["payload"])[ImageKey.ENCODED]),
        "decode": lambda batch: count_decoded(decoder, parse(batch["payload"])),
    }
    return [
        Cut(stage, functools.partial(streamed, make), pictures_a_step)
        for stage, make in stages.items()
    ]


def table_cuts(table: PictureTable, steps_per_pass: int) -> list[Cut]:
    """The cuts of filling a table, up to "table".

    Only the last one builds a table, or part of a large one.
    """
    once = not table.one_a_pass
    a_step = 0.0 if once else table.pictures / steps_per_pass
    part = _pictures_of(BUILT_BYTES, table)
    stages: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
        "parse": lambda payload: count(parse_one(payload)[ImageKey.ENCODED]),
        "decode": lambda payload: count(first_pixels(table.decoder.decode(parse_one(payload)))),
    }
    if table.kind == "encoded":  # decoded when rows are gathered
        del stages["decode"]

    def read() -> tf.data.Dataset:
        return (
            table.passes()
            .flat_map(lambda p: table.records(p).batch(PICTURES_AN_ELEMENT))
            .map(count)
        )

    def each(one: Callable[[tf.Tensor], tf.Tensor]) -> tf.data.Dataset:
        counts = table.passes().flat_map(
            lambda p: table.each(table.records(p), one).batch(PICTURES_AN_ELEMENT)
        )
        return counts.map(tf.reduce_sum)

    def built(number: tf.Tensor) -> tf.Tensor:
        position, rows = table.build(number, part)
        kept = rows["image"] if "image" in rows else rows[ImageKey.ENCODED]
        return count(tf.gather(first_pixels(kept) if "image" in rows else kept, position[:part]))

    cuts = [Cut(stage, functools.partial(each, one), a_step, once) for stage, one in stages.items()]
    return [
        Cut("storage", read, a_step, once),
        *cuts,
        Cut("table", lambda: table.passes().map(built), a_step, once),
    ]


def gather_cuts(
    table: PictureTable,
    gathered: Callable[[Callable[..., tf.Tensor], int], tf.data.Dataset],
    batch: Callable[..., Tensors],
    pictures_a_step: float,
) -> list[Cut]:
    """The cuts of gathering batches from a finished table, up to "host_map".

    Args:
      table: the table.
      gathered: batches made by a function of a table's rows and the bookkeeping, from one table of
        that many pictures.
      batch: the function for whole batches.
      pictures_a_step: see `Cut`.
    """
    part = _pictures_of(GATHERED_BYTES, table)
    whole = batch_cut("host_map", lambda: gathered(batch, part), pictures_a_step)
    if table.kind == "decoded":
        return [whole]
    decoded = Cut(
        "decode",
        lambda: gathered(lambda rows, _: count_decoded(table.decoder, rows), part),
        pictures_a_step,
    )
    return [decoded, whole]


def _pictures_of(size: int, table: PictureTable) -> int:
    """How many pictures of a table have that many bytes of pixels; at most all of them."""
    height, width, channels = table.decoder.shape
    return min(table.pictures, max(1, size // (height * width * channels)))
