"""MosaicML streaming: its own shards, read by the processes of a torch loader."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import simplejpeg

from tests.benchmarks.peers.stored import jpegs


def batches(dataset: Path, scratch: Path, size: int, cores: int) -> Callable[[], Iterator[int]]:
    """One pass at each call, with new worker processes."""
    import torch
    from streaming import MDSWriter, StreamingDataset

    with MDSWriter(out=str(scratch / "mds"), columns={"jpeg": "bytes"}, hashes=[]) as writer:
        for jpeg in jpegs(dataset):
            writer.write({"jpeg": jpeg})

    class Pictures(StreamingDataset):
        def __getitem__(self, at: int) -> Any:
            return torch.from_numpy(simplejpeg.decode_jpeg(super().__getitem__(at)["jpeg"]))

    pictures = Pictures(local=str(scratch / "mds"), shuffle=True, batch_size=size)

    def a_pass() -> Iterator[int]:
        loader = torch.utils.data.DataLoader(
            pictures, batch_size=size, num_workers=cores, drop_last=True, collate_fn=torch.stack
        )
        for batch in loader:
            yield len(batch)

    return a_pass
