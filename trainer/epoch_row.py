"""What an epoch comes to: its row of metrics.jsonl, and its line for people."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from trainer import gpu_monitor
from trainer.crew import Crew
from trainer.gpu_monitor import GpuMonitor
from trainer.metrics import wilson_interval
from trainer.session import Session
from trainer.timing import WORKER_WAITS, StepClock


def training_row(sums: np.ndarray, session: Session) -> dict[str, Any]:
    """Loss, accuracy and learning rate of an epoch from its sums (loss, weight, right, counted)."""
    loss, weight, right, counted = sums
    metric = session.task.metric
    return {
        "loss": float(loss / weight),
        metric: float(right / counted) if counted else None,
        f"{metric}_interval": list(wilson_interval(right, counted)) if counted else None,
        # With a schedule, Keras gives the value of the current step here.
        "learning_rate": float(tf.keras.backend.get_value(session.model.optimizer.learning_rate)),
    }


def worker_waits(wait: float | None, crew: Crew) -> dict[str, list[float | None]]:
    """Which share of a step each worker waits for its input; {} where there is one worker only.

    Every worker must call it, with its own share or None.
    """
    if crew.size == 1:
        return {}
    shares = crew.gather([math.nan if wait is None else wait])
    return {WORKER_WAITS: [None if math.isnan(share) else share for (share,) in shares]}


def row_in_words(row: dict[str, Any], session: Session) -> str:
    """An epoch in one line."""
    parts = [f"epoch {row['epoch']}/{session.config.epochs}", f"step {row['step']}"]
    metric = session.task.metric
    for prefix in ("", "val_"):
        if row.get(f"{prefix}loss") is not None:
            parts.append(f"{prefix}loss {row[f'{prefix}loss']:.4f}")
        if row.get(f"{prefix}{metric}") is not None:
            low, high = row[f"{prefix}{metric}_interval"]
            parts.append(f"{prefix}{metric} {row[f'{prefix}{metric}']:.3f} [{low:.3f}, {high:.3f}]")
    parts += _speed_in_words(row)
    return "  ".join(parts)


def bar_in_words(
    loss: float, clock: StepClock, pictures_a_step: int, replicas: int, gpus: GpuMonitor
) -> str:
    """What the progress bar says after the count; means alone, which cost little at any call."""
    row = {**clock.means(pictures_a_step, replicas), **gpus.figures()}
    return ", ".join([f"loss {loss:.4f}", *_speed_in_words(row)])


def _speed_in_words(row: dict[str, Any]) -> list[str]:
    """Images per second, the wait for input and the GPUs of a row, as far as they are known."""
    words = []
    if row["images_per_second"]:
        words.append(f"{row['images_per_second']:.0f} images/s")
    if row["input_wait_fraction"] is not None:
        words.append(f"waits {row['input_wait_fraction']:.0%}")
    gpus = gpu_monitor.in_words(row)
    return [*words, gpus] if gpus else words
