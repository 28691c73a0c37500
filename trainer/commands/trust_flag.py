"""`--trust`, for the commands that open a run directory."""

from __future__ import annotations

from absl import flags

TRUST = flags.DEFINE_multi_string(
    "trust",
    [],
    "A hub module that the run may load, hub:HANDLE, as its config.json names it. Modules run as "
    "code; those that you have trained with yourself need not be named. May be repeated.",
)
