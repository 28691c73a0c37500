"""report.html: one file that needs nothing else, no script and no network, dark or light."""

from __future__ import annotations

import base64
import dataclasses
import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

from preprocess.shell.json_text import JsonObject
from trainer.monitoring.metric_rows import Row, accuracy_name, number, prefixes, typical
from trainer.monitoring.stages import MEANINGS
from trainer.monitoring.time_account import RunTime
from trainer.report.curves import split_label
from trainer.report.figures import (
    NONE,
    duration,
    figure,
    first_split,
    interval,
    percent,
    verdict,
)
from trainer.report.overfitting import reading
from trainer.report.page_style import CSS
from trainer.report.step_bar import step_shares
from trainer.report.time_words import headline
from trainer.report.time_words import rows as rows_of_time

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

# Pictures with a place of their own: their key in `images`, the title, what to look for.
_PLACES = (
    (
        "parts",
        "Curves of the parts",
        "The loss of each part as it is, before its weight; the curves above are of their "
        "weighted sum and of the first part.",
    ),
    (
        "augmented",
        "Augmented batch",
        "Above, pictures as they are stored; below, the same after the layers on the device. "
        "Look for wrong colours, borders, and labels that no longer hold.",
    ),
    (
        "mistakes",
        "Mistakes",
        "The highest losses first. Green is what the dataset says, orange what the model says; "
        "`python -m trainer predict` lists all pictures by name.",
    ),
)


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of the page that a task adds: plain text, a picture, figures.

    Attributes:
      title: its heading, and what the picture shows.
      lines: a paragraph each.
      hint: a remark above them.
      picture: PNG bytes.
      header: of the table, whose rows are texts; the first column names the row.
      rows: of the table, which is folded away below a picture, and where `folded`.
    """

    title: str
    lines: Sequence[str] = ()
    hint: str = ""
    picture: bytes | None = None
    header: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    folded: bool = False


def render_page(
    report: JsonObject,
    history: Sequence[Row],
    images: Mapping[str, bytes],
    config: JsonObject,
    name: str,
    sections: Sequence[Section] = (),
) -> str:
    """The page of a run, as HTML text. Everything that comes from outside is escaped.

    Args:
      report: the content of report.json; what is None or missing is shown as a dash or left out.
      history: the rows of metrics.jsonl.
      images: PNG bytes by name: `history`, `augmented`, `mistakes` and `step` have their places,
        others follow under their own names.
      config: the configuration as nested plain values.
      name: of the run, shown as its title.
      sections: the task's own.
    """
    places = {key for key, _, _ in _PLACES} | {"history", "step", "timeline"}
    parts = [
        f"<h1>{_text(name)}</h1>",
        _verdict(report),
        _section("Final figures", _final_figures(report)),
        *(_section(section.title, _content(section)) for section in sections),
        _section("Curves", _curves(history, images)),
        *(
            _section(title, f"<p>{_text(hint)}</p>{_image(images[key], title)}")
            for key, title, hint in _PLACES
            if key in images
        ),
        *(
            _section(key, _image(content, key))
            for key, content in images.items()
            if key not in places
        ),
        _section("Where the time goes", _speed(report, history, images)),
        _section("The whole run", _run_time(report, images)),
        _section("Configuration", _configuration(report, config)),
    ]
    body = "\n".join(part for part in parts if part)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{_text(name)}</title>\n<style>{CSS}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _text(value: Any) -> str:
    return html.escape(str(value), quote=True)


def _section(title: str, content: str) -> str:
    return f"<section>\n<h2>{_text(title)}</h2>\n{content}\n</section>" if content else ""


def _image(content: bytes, description: str) -> str:
    data = base64.b64encode(content).decode("ascii")
    return f'<img alt="{_text(description)}" src="data:image/png;base64,{data}">'


def _verdict(report: JsonObject) -> str:
    """The verdict sentence, and below it what held the run back, where that is known."""
    bottleneck = report.get("bottleneck") or {}
    lines = [f'<p class="verdict">{_text(verdict(report))}</p>']
    if report.get("stopped"):
        stopped = _text(f"Stopped {report['stopped']}.")
        lines.append(f'<p class="aside">{stopped}</p>')
    if bottleneck.get("verdict"):
        lines.append(f'<p class="aside">{_text(bottleneck["verdict"])}</p>')
    return "\n".join(lines)


def _final_figures(report: JsonObject) -> str:
    """A table: a row a split; loss, and accuracy with its interval, of the last and best state."""
    metrics = report.get("metrics") or {}
    states = [(key, metrics[key]) for key in ("last", "best") if metrics.get(key)]
    if not states:
        return ""
    rows = [state for _, state in states]
    accuracy = accuracy_name(rows)
    chance = percent(report["chance"]) if report.get("chance") else ""
    top = '<th rowspan="2">split</th>'
    below = ""
    for key, state in states:
        epoch = number(state.get("epoch"))
        title = f"{key} state" + ("" if math.isnan(epoch) else f", epoch {epoch:g}")
        top += f'<th colspan="3">{_text(title)}</th>'
        below += f"<th>loss</th><th>{_text(accuracy.replace('_', ' '))}</th><th>95 % interval</th>"
    if chance:
        top += '<th rowspan="2">chance</th>'
    lines = [f"<thead><tr>{top}</tr><tr>{below}</tr></thead><tbody>"]
    for prefix in [*prefixes(rows)[1:], ""]:
        label = split_label(prefix, first_split(report))
        cells = f'<th scope="row">{_text(label)}</th>'
        for state in rows:
            cells += (
                f"<td>{figure(state.get(prefix + 'loss'))}</td>"
                f"<td><b>{percent(state.get(prefix + accuracy))}</b></td>"
                f"<td>{interval(state.get(f'{prefix}{accuracy}_interval')) or NONE}</td>"
            )
        lines.append(f"<tr>{cells}{f'<td>{chance}</td>' if chance else ''}</tr>")
    return f'<div class="wide"><table>{"".join(lines)}</tbody></table></div>'


def _content(section: Section) -> str:
    hint = f"<p class='hint'>{_text(section.hint)}</p>" if section.hint else ""
    lines = "".join(f"<p>{_text(line)}</p>" for line in section.lines)
    picture = _image(section.picture, section.title) if section.picture else ""
    if not section.rows:
        return hint + lines + picture
    top = "".join(f"<th>{_text(each)}</th>" for each in section.header)
    rows = "".join(
        f'<tr><th scope="row">{_text(first)}</th>'
        + "".join(f"<td>{_text(cell)}</td>" for cell in cells)
        + "</tr>"
        for first, *cells in section.rows
    )
    table = f"<table><thead><tr>{top}</tr></thead><tbody>{rows}</tbody></table>"
    if not (picture or section.folded):
        return f'{hint}{lines}<div class="wide">{table}</div>'
    return f"{hint}{lines}{picture}<details><summary>as a table</summary>{table}</details>"


def _curves(history: Sequence[Row], images: Mapping[str, bytes]) -> str:
    picture = _image(images["history"], "Curves over epochs") if "history" in images else ""
    hint = (
        "Training is drawn half an epoch to the left: it is an average over the epoch, "
        "validation is measured at its end. Shaded: 95 % intervals."
    )
    return f"<p>{_text(reading(history))}</p>{picture}<p class='hint'>{_text(hint)}</p>"


def _speed(report: JsonObject, history: Sequence[Row], images: Mapping[str, bytes]) -> str:
    """The verdict on speed: sentence, a step drawn, figures, what to do, how it is known."""
    bottleneck = report.get("bottleneck") or {}

    def step(name: str) -> str:
        return _with_unit(figure(typical(history, name), 3), "ms")

    facts = [
        ("images a second", figure(report.get("images_per_second"))),
        ("of one replica", figure(typical(history, "images_per_second_per_replica"))),
        ("a step, mean", step("step_ms")),
        ("a step, median", step("step_ms_p50")),
        ("90 % of steps below", step("step_ms_p90")),
        ("99 % of steps below", step("step_ms_p99")),
        ("input wait", percent(typical(history, "input_wait_fraction"))),
        ("time lost to input", percent(bottleneck.get("input_tax"))),
        ("bound by", _text(str(bottleneck.get("kind") or NONE).replace("_", " "))),
        ("largest stage", _text(bottleneck.get("stage") or NONE)),
        ("steps", figure(report.get("steps"))),
        ("wall time", duration(report.get("seconds"))),
    ]
    facts = [(label, value) for label, value in facts if value != NONE]
    tiles = "".join(f"<div><dt>{label}</dt><dd>{value}</dd></div>" for label, value in facts)
    said = bottleneck.get("verdict")
    shares = step_shares(bottleneck, history).items()
    described = ", ".join(f"{name} {percent(share)}" for name, share in shares)
    meant = "; ".join(f"{name}: {MEANINGS[name]}" for name, _ in shares if name in MEANINGS)
    advice = "".join(f"<li>{_text(each)}</li>" for each in bottleneck.get("advice") or [])
    return (
        (f"<p>{_text(said)}</p>" if said else "")
        + (_image(images["step"], f"A step: {described}") if "step" in images else "")
        + (f"<p class='hint'>{_text(meant)}.</p>" if meant else "")
        + f'<dl class="tiles">{tiles}</dl>'
        + (f"<ul>{advice}</ul>" if advice else "")
        + _source(bottleneck.get("source"))
    )


def _run_time(report: Mapping[str, Any], images: Mapping[str, bytes]) -> str:
    """Goodput, the timeline as a picture, and the seconds by kind."""
    spent = report.get("time")
    if not spent:
        return ""
    picture = (
        _image(images["timeline"], "What each worker did when") if "timeline" in images else ""
    )
    known = RunTime(
        number(spent["wall_seconds"]),
        spent["seconds"],
        int(spent["attempts"]),
        int(spent["redone_steps"]),
    )
    rows = "".join(
        f'<tr><th scope="row">{_text(what)}</th><td>{long}</td><td>{share}</td></tr>'
        for what, long, share in rows_of_time(known)
    )
    hint = (
        "Goodput is the share of the time in steps that were kept, less what they waited for "
        "their input."
    )
    return (
        f"<p>{_text(headline(known))}.</p>{picture}<p class='hint'>{hint}</p>"
        f"<details><summary>as a table</summary><table>{rows}</table></details>"
    )


def _source(source: Any) -> str:
    told = {
        "loop": "the training loop's own clock, which does not see the stages of the input",
        "phases": "timing each phase by itself",
        "profile": "a trace of some steps",
    }.get(str(source))
    return f"<p class='hint'>Measured by {told}.</p>" if told else ""


def _configuration(report: JsonObject, config: JsonObject) -> str:
    if not config:
        return ""
    rows = "".join(
        f'<tr><th scope="row"><code>{_text(key)}</code></th>'
        f"<td><code>{_text(value)}</code></td></tr>"
        for key, value in _flat(config)
    )
    digest = report.get("weights_digest")
    line = f"<p class='hint'>weights <code>{_text(digest)}</code></p>" if digest else ""
    return (
        f"<details><summary>every key and its value</summary><table>{rows}</table></details>{line}"
    )


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            found += _flat(value, f"{prefix}{key}.")
        else:
            found.append((f"{prefix}{key}", value))
    return found


def _with_unit(text: str, unit: str) -> str:
    return text if text == NONE else f"{text} {unit}"
