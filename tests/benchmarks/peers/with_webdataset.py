"""webdataset: tar files read by the processes of a torch loader, which make whole batches."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import simplejpeg

from tests.benchmarks.peers.stored import jpegs

TARS = 8


def batches(dataset: Path, scratch: Path, size: int, cores: int) -> Callable[[], Iterator[int]]:
    """One pass at each call, with new worker processes."""
    import numpy as np
    import webdataset

    pictures = list(jpegs(dataset))
    for tar in range(TARS):
        with tarfile.open(scratch / f"{tar}.tar", "w") as file:
            for number in range(tar, len(pictures), TARS):
                entry = tarfile.TarInfo(f"{number:07d}.jpg")
                entry.size = len(pictures[number])
                file.addfile(entry, io.BytesIO(pictures[number]))

    def decoded(sample: tuple[bytes]) -> np.ndarray:
        return simplejpeg.decode_jpeg(sample[0])

    def a_pass() -> Iterator[int]:
        found = (
            webdataset.WebDataset(str(scratch / f"{{0..{TARS - 1}}}.tar"), shardshuffle=TARS)
            .shuffle(2048)
            .to_tuple("jpg")
            .map(decoded)
            .batched(size, collation_fn=np.stack, partial=False)
        )
        for batch in webdataset.WebLoader(found, batch_size=None, num_workers=cores):
            yield len(batch)

    return a_pass
