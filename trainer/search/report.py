"""The result of a search: search.json, search.csv, search.png, and a table for the terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from preprocess.shell.atomic import write_bytes, write_text
from preprocess.shell.csv_cells import safe_cells
from preprocess.shell.json_text import JsonObject, json_text
from trainer.report.run_curves import Curve, correlations_in_words, curve_correlations
from trainer.report.style import figure_png
from trainer.search.next_runs import plan
from trainer.search.noise import Noise, Point, best_of, noise_of, summarise, within_noise
from trainer.search.plot import search_figure
from trainer.search.search_run import Run, params_text, points_of, value_text
from trainer.search.space import Params, Space, flag_text

MOST_CURVES = 200  # compared: 20,000 pairs take a second


def result_of(
    space: Space,
    start: Params,
    runs: Sequence[Run],
    repeats: int,
    curves: Sequence[Curve] = (),
) -> JsonObject:
    """All that a search found, as plain data; `curves` of its metric are those of finished runs.

    `points` are ordered, the best first; `within_noise` of a point is whether its difference to
    the best may be chance, null where nothing tells; `stages` name the best of each stage.
    `best` is null where no run was finished.
    """
    state = plan(space, start, runs, repeats)
    points = summarise(points_of(runs), runs, space.greater)
    # Of all stages: with repeats added later, a point of an earlier one may be ahead.
    best = best_of(points)
    noise = noise_of([point.values for point in points], any(run.interval for run in runs))
    others = [point for point in points if point is not best]
    near = (
        dict(zip(map(id, others), within_noise(best, others, noise), strict=True)) if best else {}
    )
    return {
        "metric": space.metric,
        "greater_is_better": space.greater,
        "complete": state.complete,
        "best": None if best is None else {**_point(best), "flags": _flags(best.params)},
        "verdict": _verdict(space, best, others, near, noise),
        "noise": {"source": noise.source, "deviation": noise.deviation, "freedom": noise.freedom},
        "curves": curve_correlations(curves[:MOST_CURVES], space.metric),
        "stages": [
            {
                "keys": list(stage.keys),
                "points": len(stage.points),
                "best": stage.best.params if stage.best else None,
            }
            for stage in state.stages
        ],
        "points": [
            {**_point(point), "within_noise": near.get(id(point)), "best": point is best}
            for point in points
        ],
        "trials": [
            {
                "number": run.number,
                "params": run.params,
                "repeat": run.repeat,
                "state": run.state,
                "value": run.value,
                "seconds": run.seconds,
                "reason": run.reason,
            }
            for run in runs
        ],
    }


def write_result(
    folder: Path, result: JsonObject, space: Space, start: Params, runs: Sequence[Run],
    repeats: int,
) -> None:  # fmt: skip
    """Writes search.json, search.csv and search.png into the folder of the search."""
    write_text(folder / "search.json", json_text(result, indent=2))
    write_text(folder / "search.csv", csv_text(result))
    picture = figure_png(search_figure(space, plan(space, start, runs, repeats), runs, folder.name))
    write_bytes(folder / "search.png", picture)


def csv_text(result: JsonObject) -> str:
    """A line a run."""
    keys = list(result["trials"][0]["params"]) if result["trials"] else []
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    header = ["number", *keys, "repeat", "state", result["metric"], "seconds", "reason"]
    writer.writerow(safe_cells(header))
    for run in result["trials"]:
        values = [run["params"].get(key) for key in keys]
        row = [run["number"], *values, run["repeat"], run["state"], run["value"]]
        writer.writerow(safe_cells([*row, run["seconds"], run["reason"]]))
    return file.getvalue()


def table_text(result: JsonObject) -> str:
    """The points, the best first, for a terminal."""
    rows = [["", *(result["points"][0]["params"] if result["points"] else []), "mean", "", "runs"]]
    rows[0][-2] = "95 % interval"
    rows[0].append("")
    for point in result["points"]:
        mean = "-" if point["mean"] is None else f"{point['mean']:.4f}"
        interval = point["interval"]
        bounds = f"[{interval[0]:.4f}, {interval[1]:.4f}]" if interval else ""
        note = "within noise" if point["within_noise"] else ""
        if point["failed"]:
            note = f"{point['failed']} failed"
        values = [value_text(each) for each in point["params"].values()]
        count = str(len(point["values"]))
        rows.append(["*" if point["best"] else "", *values, mean, bounds, count, note])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    about_curves = correlations_in_words(result["curves"])
    about = [f"{about_curves[0].upper()}{about_curves[1:]}."] if about_curves else []
    return "\n".join([*lines, "", result["verdict"], *about])


def _point(point: Point) -> JsonObject:
    return {
        "params": point.params,
        "mean": point.mean,
        "interval": list(point.interval) if point.interval else None,
        "values": list(point.values),
        "failed": point.failed,
    }


def _flags(params: Params) -> str:
    return " ".join(f"--config.{key}={flag_text(value)}" for key, value in params.items())


def _verdict(
    space: Space,
    best: Point | None,
    others: Sequence[Point],
    near: dict[int, bool | None],
    noise: Noise,
) -> str:
    """What may be said, in a sentence or two."""
    if best is None:
        return "No point finished all its runs: nothing can be said."
    assert best.mean is not None
    said = f"Best: {params_text(best.params)}; {space.metric} {best.mean:.4f}"
    if best.interval:
        said += f" [{best.interval[0]:.4f}, {best.interval[1]:.4f}]"
    said += f" over {len(best.values)} run{'s' if len(best.values) > 1 else ''}."
    told = [near[id(point)] for point in others if near.get(id(point)) is not None]
    if told:
        said += f" {sum(map(bool, told))} of the {len(told)} other points are within noise of it"
        said += {
            "repeats": f" (runs of one point differ by {noise.deviation or 0:.4f}).",
            "records": (
                " by the number of records alone; --repeats=3 would show how much runs differ."
            ),
        }[noise.source]
    elif others:
        said += " How much runs of one point differ is not known: --repeats=3 would show it."
    return said
