"""The result of an epoch: its row of metrics.jsonl, and its line for the terminal."""

from __future__ import annotations

import math

import numpy as np

from preprocess.shell.json_text import JsonObject
from trainer.metrics import wilson_interval
from trainer.monitoring import gpu_monitor
from trainer.monitoring.gpu_monitor import GpuMonitor
from trainer.monitoring.timing import WORKER_WAITS, StepClock
from trainer.optimizers.current_rate import current_rate
from trainer.training.session import Session
from trainer.workers.worker_group import WorkerGroup


def training_row(sums: np.ndarray, session: Session) -> JsonObject:
    """Loss, accuracy, figures of parts and learning rate of an epoch from its sums, which are those
    of sum_names().
    """
    loss, weight, right, counted, *of_parts = sums
    task, metric = session.task, session.task.metric
    figures = zip(task.kind.part_figures, of_parts[::2], of_parts[1::2], strict=True)
    return {
        "loss": float(loss / weight) + 0.0,  # -0.0, of a perfect model, is 0
        metric: float(right / counted) if counted else None,
        f"{metric}_interval": list(wilson_interval(right, counted))
        if counted and task.binomial
        else None,
        **{name: float(part / whole) if whole else None for name, part, whole in figures},
        "learning_rate": current_rate(session.model.optimizer),
    }


def worker_waits(wait: float | None, workers: WorkerGroup) -> dict[str, list[float | None]]:
    """The share of step time that each worker waits for input; {} for a single worker.

    Collective: every worker must call it, with its own share or None.
    """
    if workers.size == 1:
        return {}
    shares = workers.gather([math.nan if wait is None else wait])
    return {WORKER_WAITS: [None if math.isnan(share) else share for (share,) in shares]}


def row_in_words(row: JsonObject, session: Session) -> str:
    """An epoch in one line."""
    parts = [f"epoch {row['epoch']}/{session.config.epochs}", f"step {row['step']}"]
    metric = session.task.metric
    for prefix in ("", "val_"):
        if row.get(f"{prefix}loss") is not None:
            parts.append(f"{prefix}loss {row[f'{prefix}loss']:z.4f}")
        if row.get(f"{prefix}{metric}") is not None:
            bounds = row[f"{prefix}{metric}_interval"]
            interval = f" [{bounds[0]:.3f}, {bounds[1]:.3f}]" if bounds else ""
            parts.append(f"{prefix}{metric} {row[f'{prefix}{metric}']:.3f}{interval}")
    for name in session.task.measured_names:
        if row.get(f"val_{name}") is not None:
            parts.append(f"val_{name} {row[f'val_{name}']:.3f}")
    parts += _speed_in_words(row)
    return "  ".join(parts)


def bar_in_words(
    loss: float, clock: StepClock, pictures_a_step: int, replicas: int, gpus: GpuMonitor
) -> str:
    """The progress bar's text after the count: only means, which are cheap at any call."""
    row = {**clock.means(pictures_a_step, replicas), **gpus.figures()}
    return ", ".join([f"loss {loss:z.4f}", *_speed_in_words(row)])


def _speed_in_words(row: JsonObject) -> list[str]:
    """Images per second, input wait and GPU utilization of a row, if known."""
    words = []
    if row.get("images_per_second"):
        words.append(f"{row['images_per_second']:.0f} images/s")
    if row.get("input_wait_fraction") is not None:
        words.append(f"waits {row['input_wait_fraction']:.0%}")
    gpus = gpu_monitor.gpu_summary(row)
    return [*words, gpus] if gpus else words
