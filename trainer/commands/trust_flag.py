"""`--trust`, for the commands that open a run directory."""

from __future__ import annotations

from absl import flags

TRUST = flags.DEFINE_multi_string(
    "trust",
    [],
    "What the run may run as code, as its config.json names it: a hub module, hub:HANDLE, or "
    "FILE.py:NAME or MODULE:NAME. What you have trained with yourself need not be named, unless "
    "the file has changed since. A file of the same name in another folder replaces the run's, "
    "which may have been trained on other machines. May be repeated.",
)
