"""NVIDIA DALI on the CPU, reading the shards themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from tests.benchmarks.peers.stored import frames, shards


def batches(dataset: Path, scratch: Path, size: int, cores: int) -> Callable[[], Iterator[int]]:
    """One pass at each call."""
    from nvidia.dali import fn, pipeline_def, tfrecord, types

    indexes = []
    for shard in shards(dataset):
        index = scratch / f"{shard.name}.idx"
        index.write_text("".join(f"{at} {length}\n" for at, length, _ in frames(shard)))
        indexes.append(str(index))

    @pipeline_def(batch_size=size, num_threads=cores, device_id=None, prefetch_queue_depth=4)
    def pipeline() -> object:
        found = fn.readers.tfrecord(
            path=[str(shard) for shard in shards(dataset)],
            index_path=indexes,
            features={
                "image/encoded": tfrecord.FixedLenFeature((), tfrecord.string, ""),
                "image/label": tfrecord.FixedLenFeature([1], tfrecord.int64, -1),
            },
            random_shuffle=True,
            initial_fill=2048,
            name="reader",
        )
        pictures = fn.decoders.image(found["image/encoded"], device="cpu", output_type=types.RGB)
        return pictures, found["image/label"]

    running = pipeline()
    running.build()
    steps = running.reader_meta("reader")["epoch_size"] // size

    def a_pass() -> Iterator[int]:
        for _ in range(steps):
            pictures, _ = running.run()
            yield len(pictures.as_array())

    return a_pass
