"""One reader over a dataset, in a process of its own: pictures a second.

    python -m tests.benchmarks.peers.read READER DATASET SCRATCH

Prints JSON with the rates by wall and by processor time, worker processes included. A pass that
does not count comes first: files are in the page cache, and what is made once is made. The clock
stops at the last batch of a pass, as a training would go on with the next.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import psutil

OURS = "tests.benchmarks.peers.with_shardline"
READERS = {  # name: module and function
    "ours, streamed": (OURS, "streamed"),
    "ours, numpy_batches": (OURS, "arrays"),
    "tf.data": ("tests.benchmarks.peers.with_tfdata", "batches"),
    "DALI": ("tests.benchmarks.peers.with_dali", "batches"),
    "Grain": ("tests.benchmarks.peers.with_grain", "batches"),
    "webdataset": ("tests.benchmarks.peers.with_webdataset", "batches"),
    "MosaicML streaming": ("tests.benchmarks.peers.with_streaming", "batches"),
}
BATCH, PASSES = 64, 2


def processor_seconds() -> float:
    """Of this process and of those it started, ended ones too."""
    total = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        used = resource.getrusage(who)
        total += used.ru_utime + used.ru_stime
    for child in psutil.Process().children(recursive=True):
        try:
            used = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += used.user + used.system
    return total


def main() -> None:
    """The command."""
    name, dataset, scratch = sys.argv[1:]
    module, function = READERS[name]
    cores = len(os.sched_getaffinity(0))
    make = getattr(importlib.import_module(module), function)
    a_pass = make(Path(dataset), Path(scratch), BATCH, cores)
    pictures, wall, processor = 0, 0.0, 0.0
    for number in range(1 + PASSES):
        begun, begun_processor, read = time.perf_counter(), processor_seconds(), 0
        ended = begun
        for size in a_pass():
            read += size
            ended = time.perf_counter()
        if number:
            pictures += read
            wall += ended - begun
            processor += processor_seconds() - begun_processor
    print(json.dumps({"wall": pictures / wall, "processor": pictures / processor}))


if __name__ == "__main__":
    main()
