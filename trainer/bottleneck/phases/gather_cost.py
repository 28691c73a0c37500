"""What it would cost to gather a batch of pictures from a decoded table that is not there yet."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from trainer.bottleneck.phases.step_model import Cost
from trainer.data.cuts import GATHERED_BYTES

REPEATS = 5


def gather_cost(pictures: int, shape: Sequence[int], batch: int) -> Cost:
    """Of one batch: the median of some gathers of random rows.

    Args:
      pictures: of the table; of a large one a part, which does not fit into caches either.
      shape: (H, W, C) of a picture of uint8.
      batch: pictures that are gathered.
    """
    rows = max(1, min(pictures, GATHERED_BYTES // int(np.prod(shape))))
    chosen = np.random.default_rng(0).integers(0, rows, (REPEATS + 1, batch))
    costs: list[tuple[float, float]] = []
    with tf.device("CPU:0"):
        table = tf.fill([rows, *shape], tf.constant(1, tf.uint8))
        for rows_of_batch in chosen:
            seconds, cpu = time.perf_counter(), time.process_time()
            tf.gather(table, rows_of_batch)
            costs.append((time.perf_counter() - seconds, time.process_time() - cpu))
    clock, processor = zip(*costs[1:], strict=True)  # the first one comes upon cold memory
    return Cost(statistics.median(clock), statistics.median(processor))
