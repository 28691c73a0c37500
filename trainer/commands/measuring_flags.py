"""Flags of the commands that compute a finished run's outputs for many pictures."""

from __future__ import annotations

from absl import flags

from preprocess.shell.errors import UsageError

BATCH_SIZE = flags.DEFINE_integer(
    "batch_size",
    0,
    "Records computed at a time; 0 = as in training. It changes speed and memory, not results.",
    lower_bound=0,
)
TTA = flags.DEFINE_integer(
    "tta",
    0,
    "Test-time augmentation: draws of the run's on-device layers to average over; 0 = off.",
    lower_bound=0,
    upper_bound=1000,
)


def run_directories(paths: list[str]) -> list[str]:
    """The runs to average; raises UsageError if one is named twice."""
    if len(set(paths)) != len(paths):
        raise UsageError(f"--workdir names a run twice: {','.join(paths)}")
    return paths
