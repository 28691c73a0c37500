"""Clocks and gauges of a training: steps, GPUs, processor, memory, profiler, TensorBoard.

    from trainer.monitoring import Verdict  # for a loop of your own

Measures and keeps figures; trainer/bottleneck interprets them. Imports config and the shell.
Start reading at timing.py.
"""

from __future__ import annotations

from typing import Any

from preprocess.shell.entries import load


def __getattr__(name: str) -> Any:
    """`Verdict`, which is above this room and imported when it is used."""
    if name != "Verdict":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return load("trainer.bottleneck.own_loop:Verdict")
