"""A reader's pipeline cut after each of its stages, so that each can be timed by itself.

The cuts are made of the functions that the pipeline itself is made of. What a cut counts depends
on the last thing it did, or TensorFlow would leave that out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from preprocess.dataset_format import ImageKey

if TYPE_CHECKING:
    from trainer.reader.decoding import Decoder
    from trainer.reader.table import PictureTable

PICTURES_AN_ELEMENT = 64  # of a table's records; one at a time, Python would be what is timed
# Of a table that is built to be timed: a small part of a large one costs the same per picture.
PART_BYTES = 64 << 20


@dataclasses.dataclass(frozen=True)
class Cut:
    """A reader's pipeline up to and including one stage, to be iterated and timed.

    Each does what the one before does and one thing more. After "table" this starts anew: what
    comes then gathers out of a table that is ready.

    Attributes:
      stage: "storage", "parse", "decode", "table" or "host_map".
      dataset: makes a tf.data.Dataset whose elements are int64 []: how many pictures the element
        took through the stages. It has no end.
      pictures_a_step: pictures that these stages handle in a training step, all replicas of this
        process together, as a mean where they fill a table for each pass.
      once: whether it is done only at the start of a run (a table that serves all passes);
        pictures_a_step is then 0.
    """

    stage: str
    dataset: Callable[[], Any]
    pictures_a_step: float
    once: bool = False


def count(values: Any) -> Any:
    """int64 []: how many values (texts, or numbers from 0 on), found by looking at each of them.

    Their number alone is often known before they are, and they would not be computed for it.
    """
    sizes = tf.strings.length(values) if values.dtype == tf.string else values
    return tf.reduce_sum(tf.cast(tf.cast(sizes, tf.int32) >= 0, tf.int64))


def first_pixels(pictures: Any) -> Any:
    """uint8 [...] of pictures uint8 [..., H, W, C]: what to count them by."""
    return pictures[..., 0, 0, 0]


def count_decoded(decoder: Decoder, features: dict[str, Any]) -> Any:
    """int64 []: how many of b parsed records were decoded; their pixels are not put together."""
    return count(
        tf.map_fn(
            lambda one: first_pixels(decoder.decode(one)),
            features,
            fn_output_signature=tf.TensorSpec([], tf.uint8),
        )
    )


def batch_cut(stage: str, batches: Callable[[], Any], pictures_a_step: float) -> Cut:
    """The cut of whole batches."""
    return Cut(
        stage,
        lambda: batches().map(lambda batch: count(first_pixels(batch["image"]))),
        pictures_a_step,
    )


def table_cuts(table: PictureTable, steps_per_pass: int) -> list[Cut]:
    """The cuts of filling a table, the last one being "table".

    Only that one builds any, and of a large table a part.
    """
    once = not table.one_a_pass
    a_step = 0.0 if once else table.pictures / steps_per_pass
    height, width, channels = table.decoder.shape
    part = min(table.pictures, max(1, PART_BYTES // (height * width * channels)))
    stages: dict[str, Callable[[Any], Any]] = {
        "storage": count,
        "parse": lambda payload: count(table.parse(payload)[ImageKey.ENCODED]),
        "decode": lambda payload: count(first_pixels(table.decoder.decode(table.parse(payload)))),
    }
    if table.kind == "encoded":  # decoded when they are gathered
        del stages["decode"]

    def of_records(one: Callable[[Any], Any]) -> Any:
        def a_pass(number: Any) -> Any:
            return table.each(number, one).batch(PICTURES_AN_ELEMENT).map(tf.reduce_sum)

        return table.passes().flat_map(a_pass)

    def built(number: Any) -> Any:
        position, rows = table.build(number, part)
        kept = rows["image"] if "image" in rows else rows[ImageKey.ENCODED]
        return count(tf.gather(first_pixels(kept) if "image" in rows else kept, position))

    cuts = [
        Cut(stage, lambda one=one: of_records(one), a_step, once)  # type: ignore[misc]
        for stage, one in stages.items()
    ]
    return [*cuts, Cut("table", lambda: table.passes().map(built), a_step, once)]


def gather_cuts(
    table: PictureTable,
    gathered: Callable[[Callable[..., Any]], Any],
    batch: Callable[..., Any],
    pictures_a_step: float,
) -> list[Cut]:
    """The cuts of gathering batches out of a table that is ready, the last one being "host_map".

    Args:
      table: it.
      gathered: batches over one table, made by a function of its rows and the bookkeeping.
      batch: that function for whole batches.
      pictures_a_step: see `Cut`.
    """
    whole = batch_cut("host_map", lambda: gathered(batch), pictures_a_step)
    if table.kind == "decoded":
        return [whole]
    decoded = Cut(
        "decode",
        lambda: gathered(lambda rows, _: count_decoded(table.decoder, rows)),
        pictures_a_step,
    )
    return [decoded, whole]
