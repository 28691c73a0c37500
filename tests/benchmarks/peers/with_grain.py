"""Grain over ArrayRecord, its worker processes reading ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import simplejpeg

from tests.benchmarks.peers.stored import jpegs


def batches(dataset: Path, scratch: Path, size: int, cores: int) -> Callable[[], Iterator[int]]:
    """One pass at each call, with new worker processes."""
    import grain
    from array_record.python.array_record_module import ArrayRecordWriter

    file = str(scratch / "all.array_record")
    writer = ArrayRecordWriter(file, "group_size:1")  # one record a group, for random reads
    for jpeg in jpegs(dataset):
        writer.write(jpeg)
    writer.close()
    source = grain.sources.ArrayRecordDataSource(file)

    def a_pass() -> Iterator[int]:
        found = (
            grain.MapDataset.source(source)
            .shuffle(seed=1)
            .map(simplejpeg.decode_jpeg)
            .to_iter_dataset(grain.ReadOptions(num_threads=4, prefetch_buffer_size=256))
            .batch(size, drop_remainder=True)
            .mp_prefetch(grain.MultiprocessingOptions(num_workers=cores))
        )
        for pictures in found:
            yield len(pictures)

    return a_pass
