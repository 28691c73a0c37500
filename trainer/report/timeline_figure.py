"""A run over the wall clock, as a picture: attempts and workers, and what each was doing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from trainer.monitoring.time_account import Attempt
from trainer.monitoring.timeline import Activity
from trainer.report import style

# What looks alike in the picture: few colours tell more than fourteen.
_STARTING, _STEPS, _AGAIN, _OTHER = "starting", "steps", "steps done again", "report and the like"
_VALIDATION, _SAVING, _TABLE = "validation", "saving", "image table"
_VARIANT = "waiting for a variant"
_GROUPS = {
    Activity.START: _STARTING,
    Activity.PEERS: _STARTING,
    Activity.BUILD: _STARTING,
    Activity.RESTORE: _STARTING,
    Activity.COMPILE: _STARTING,
    Activity.TABLE: _TABLE,
    Activity.STEPS: _STEPS,
    Activity.VARIANT: _VARIANT,
    Activity.VALIDATION: _VALIDATION,
    Activity.SAVING: _SAVING,
    Activity.WRITING: _SAVING,
    Activity.CALLBACKS: _OTHER,
    Activity.PROFILER: _OTHER,
    Activity.CLOSING: _OTHER,
    Activity.REPORT: _OTHER,
}
_COLORS = {
    _STARTING: "#5b6068",
    _TABLE: "#a6d3ee",
    _STEPS: "#009e73",
    _AGAIN: "#d55e00",
    _VARIANT: "#f0e442",
    _VALIDATION: "#0072b2",
    _SAVING: "#e69f00",
    _OTHER: "#cc79a7",
}
_MOST_ROWS = 16  # workers that are drawn
_UNITS = ((7200.0, 3600.0, "hours"), (180.0, 60.0, "minutes"), (0.0, 1.0, "seconds"))


def timeline_figure(workers: Mapping[int, Sequence[Attempt]]) -> Figure | None:
    """Draws a row a worker, time from left to right; a gap is the time between two attempts.

    Args:
      workers: the attempts of each worker, by rank; of more than 16 the first are drawn.

    Returns:
      None if there is nothing to draw.
    """
    drawn = {rank: attempts for rank, attempts in sorted(workers.items()) if attempts}
    drawn = dict(list(drawn.items())[:_MOST_ROWS])
    if not drawn:
        return None
    begin = min(attempts[0].start for attempts in drawn.values())
    length = max(attempts[-1].end for attempts in drawn.values()) - begin
    scale, unit = next((s, u) for least, s, u in _UNITS if length >= least)
    figure = style.new_figure(10, 1.1 + 0.32 * len(drawn))
    axes = figure.add_subplot()
    style.quiet(axes)
    axes.grid(False, axis="y")
    used: set[str] = set()
    for row, attempts in enumerate(drawn.values()):
        for group, spans in _spans(attempts).items():
            used.add(group)
            bars = [((start - begin) / scale, long / scale) for start, long in spans]
            axes.broken_barh(bars, (row - 0.38, 0.76), facecolors=_COLORS[group], linewidth=0)
    names = [f"worker {rank}" if len(drawn) > 1 else "" for rank in drawn]
    axes.set_yticks(range(len(drawn)), labels=names)
    axes.set_ylim(len(drawn) - 0.5, -0.5)
    axes.set_xlim(0, max(length / scale, 1e-9))
    axes.set_xlabel(unit, fontsize=8, color=style.INK)
    key = [Patch(color=color, label=group) for group, color in _COLORS.items() if group in used]
    figure.legend(
        handles=key, loc="outside upper left", ncols=len(key), frameon=False, fontsize=8,
        labelcolor=style.INK,
    )  # fmt: skip
    return figure


def _spans(attempts: Sequence[Attempt]) -> dict[str, list[tuple[float, float]]]:
    """(start, length) in seconds of what there was, by group; neighbours are one span."""
    spans: dict[str, list[tuple[float, float]]] = {}
    for at, attempt in enumerate(attempts):
        begun = [a.first_step for a in attempts[at + 1 :] if a.first_step is not None]
        kept = min(begun, default=attempt.last_step)
        for moment, following in attempt.intervals():
            if moment.activity is Activity.END:
                continue
            group = _GROUPS[moment.activity]
            if group == _STEPS and (following.step or 0) > kept:
                group = _AGAIN
            known = spans.setdefault(group, [])
            if known and abs(sum(known[-1]) - moment.at) < 1e-6:
                known[-1] = (known[-1][0], following.at - known[-1][0])
            else:
                known.append((moment.at, following.at - moment.at))
    return spans
