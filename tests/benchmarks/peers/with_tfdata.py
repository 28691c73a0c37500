"""tf.data, tuned: parallel reads, AUTOTUNE, decoding in parallel, prefetching."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks.peers.stored import shards


def batches(dataset: Path, scratch: Path, size: int, cores: int) -> Callable[[], Iterator[int]]:
    """One pass at each call."""
    import tensorflow as tf

    del scratch, cores
    features = {
        "image/encoded": tf.io.FixedLenFeature([], tf.string),
        "image/label": tf.io.FixedLenFeature([], tf.int64),
    }
    auto = tf.data.AUTOTUNE
    files = [str(shard) for shard in shards(dataset)]

    def decoded(record: Any) -> Any:
        found = tf.io.parse_single_example(record, features)
        # The decoder that gives the pixels of the others.
        picture = tf.io.decode_jpeg(found["image/encoded"], 3, dct_method="INTEGER_ACCURATE")
        return picture, found["image/label"]

    def a_pass() -> Iterator[int]:
        found = (
            tf.data.Dataset.from_tensor_slices(files)
            .shuffle(len(files))
            .interleave(tf.data.TFRecordDataset, cycle_length=8, num_parallel_calls=auto)
            .shuffle(2048)
            .map(decoded, num_parallel_calls=auto)
            .batch(size, drop_remainder=True)
            .prefetch(auto)
        )
        for pictures, _ in found:
            yield len(pictures)

    return a_pass
