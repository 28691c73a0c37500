"""The report card of a triplet model in sentences and as a figure."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from preprocess.shell.json_text import JsonObject
from trainer.report import style
from trainer.report.figures import NONE, figure, interval, percent
from trainer.report.page import Section


def words(card: JsonObject) -> list[str]:
    """`trainer.tasks.triplet_card.report_card` in sentences."""
    overall, without = card["overall"], card["without_majority"]
    if not overall["counted"]:
        return [f"None of {without:,} triplets has a majority, so there is no accuracy."]
    total = overall["counted"] + without
    lines = [
        f"{percent(overall['accuracy'])} ({interval(overall['interval'])}) of the "
        f"{overall['counted']:,} triplets out of {total:,} whose annotators have a majority. "
        f"For comparison: {_references(card)}. Other test sets can be easier or harder."
    ]
    lines += _spread("By type", card["by_type"])
    agreement = card["by_agreement"]
    if len(agreement) > 1:
        low, high = agreement[0], agreement[-1]
        told = f"{_said(low)}, {_said(high)}"
        if _apart(high, low):
            lines.append(f"The more annotators agree, the more often the model is right: {told}.")
        elif _apart(low, high):
            lines.append(f"The model is less often right where annotators agree more: {told}.")
        else:
            lines.append(f"Agreement makes no difference beyond the intervals: {told}.")
    return lines


def _references(card: JsonObject) -> str:
    told = (f"{r['name']} {percent(r['accuracy'])} on {r['of']}" for r in card["references"])
    return "; ".join(told)


def _spread(title: str, rows: Sequence[JsonObject]) -> list[str]:
    if len(rows) < 2:
        return []
    ordered = sorted(rows, key=lambda row: -row["accuracy"])
    best, worst = ordered[0], ordered[-1]
    if not _apart(best, worst):
        return [f"{title} there is no difference beyond the intervals."]
    return [f"{title} it is best on {_said(best)}, and worst on {_said(worst)}."]


def _apart(better: JsonObject, worse: JsonObject) -> bool:
    """Whether two intervals do not overlap: deliberately stricter than a test at 5 %."""
    return bool(better["interval"][0] > worse["interval"][1])


def _said(row: JsonObject) -> str:
    return f"{row['name']} {percent(row['accuracy'])} ({interval(row['interval'])})"


def card_figure(card: JsonObject) -> Figure:
    """Every row of the card as a point with its interval, next to published results."""
    groups = [("", [card["overall"]]), ("by type", card["by_type"])]
    groups.append(("by agreement of the annotators", card["by_agreement"]))
    groups = [(title, [row for row in rows if row["counted"]]) for title, rows in groups]
    lines = sum(len(rows) + bool(title) for title, rows in groups if rows)
    drawing = style.new_figure(9.5, 1.5 + 0.3 * max(1, lines))
    axes = drawing.add_subplot()
    style.quiet(axes)
    axes.grid(False, axis="y")
    y, ticks, labels = 0.0, [], []
    for title, rows in groups:
        if title and rows:
            ticks.append(y)
            labels.append(title)
            y += 1
        for row in rows:
            low, high = row["interval"]
            error = [[row["accuracy"] - low], [high - row["accuracy"]]]
            color = style.SPLITS[0] if title else style.INK
            axes.errorbar(row["accuracy"], y, xerr=error, fmt="o", color=color, capsize=3)
            told = f"{percent(row['accuracy'])} of {row['counted']:,}"
            axes.annotate(
                told, (1.01, y), xycoords=("axes fraction", "data"), va="center", fontsize=8,
                color=style.INK, annotation_clip=False,
            )  # fmt: skip
            ticks.append(y)
            labels.append(_short(row["name"]))
            y += 1
    for each in card["references"]:
        axes.axvline(each["accuracy"], color=style.FAINT, linewidth=1, linestyle=(0, (4, 3)))
        axes.annotate(
            f"{each['name']} {percent(each['accuracy'])}",
            (each["accuracy"], 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 4),
            textcoords="offset points",
            rotation=30,
            fontsize=7.5,
            color=style.FAINT,
        )
    axes.set_yticks(ticks, labels=labels)
    titles = {title for title, rows in groups if title and rows}
    for label in axes.get_yticklabels():
        if label.get_text() in titles:
            label.set_color(style.FAINT)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(max(y, 1) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}%"))
    axes.set_xlabel(
        "triplets got right, with 95 % intervals; FECNet and people: on the whole FEC test set",
        fontsize=8,
        color=style.INK,
    )
    return drawing


def card_section(card: JsonObject, picture: bytes | None) -> Section:
    """The card for report.html; its `split` is what was measured."""
    rows = [
        (
            row["name"],
            percent(row["accuracy"]),
            interval(row["interval"]) or NONE,
            figure(row["counted"]),
        )
        for row in [card["overall"], *card["by_type"], *card["by_agreement"]]
    ]
    return Section(
        "Report card",
        lines=words(card),
        hint=f"Measured on {card.get('split', NONE)}.",
        picture=picture,
        header=("triplets", "right", "95 % interval", "counted"),
        rows=rows,
    )


def _short(name: str) -> str:
    return (name if len(name) <= 32 else name[:31] + "…").replace("$", r"\$")
