"""How many shards a follower builds at a time, for its rate to be of so many workers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise

# Of Beam's runners, the most telling first.
_FLAGS = ("--parallelism", "--direct_num_workers", "--num_workers", "--max_num_workers")


def worker_count(workers: int, beam_arguments: Sequence[str]) -> int:
    """As far as this process can know.

    Args:
      workers: the value of --workers; 0 = the cores this process may use.
      beam_arguments: options for Beam, `--name=value` or `--name value`.
    """
    given: dict[str, int] = {}
    for argument, after in pairwise([*beam_arguments, ""]):
        name, equals, value = argument.partition("=")
        value = value if equals else after
        if name in _FLAGS and value.isdecimal() and value.isascii():
            given[name] = int(value)
    counts = (given.get(name) for name in _FLAGS)
    return next(filter(None, counts), workers or len(os.sched_getaffinity(0)))
