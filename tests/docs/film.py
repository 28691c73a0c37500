"""An animated SVG of a terminal: frames on top of each other, each shown for its time."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

FONT = 14  # px; a character of a monospaced font is 0.6 of it wide
LINE = 19  # px
MARGIN = 14
_STYLE = """
text{{font:{font}px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;
fill:#d6dbe1;white-space:pre}}
.c{{fill:#7ee0a3;font-weight:bold}}
.d{{fill:#f2cc60}}
g{{visibility:hidden}}
g:last-of-type{{visibility:visible}}
g{{animation-duration:{seconds:g}s;animation-iteration-count:infinite;
animation-timing-function:step-end}}
{frames}
@media print,(prefers-reduced-motion:reduce){{g{{animation:none}}}}
"""


def film(frames: Sequence[tuple[float, Sequence[str]]], size: tuple[int, int], end: float) -> str:
    """The SVG of frames (start in seconds, lines of text); it begins again after `end` seconds.

    Args:
      frames: in order, the first at 0. Lines that begin with `$ ` are commands, with `Input-bound`
        and the like a verdict.
      size: (columns, rows) of the terminal.
      end: seconds that it takes.
    """
    columns, rows = size
    width = round(columns * FONT * 0.6) + 2 * MARGIN
    height = rows * LINE + 2 * MARGIN
    styles, groups = [], []
    for number, (start, lines) in enumerate(frames):
        stop = frames[number + 1][0] if number + 1 < len(frames) else end
        first, last = 100 * start / end, 100 * stop / end
        before = "" if start == 0 else "0%{visibility:hidden}"
        after = "" if stop >= end else f"{last:.3f}%{{visibility:hidden}}"
        styles.append(
            f"@keyframes k{number}{{{before}{first:.3f}%{{visibility:visible}}{after}"
            f"{'100%{visibility:hidden}' if after else '100%{visibility:visible}'}}}"
            f"#f{number}{{animation-name:k{number}}}"
        )
        groups.append(f'<g id="f{number}">{_text(lines)}</g>')
    style = _STYLE.format(font=FONT, seconds=end, frames="\n".join(styles))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}"><style>{style}</style>'
        f'<rect width="{width}" height="{height}" rx="8" fill="#16191d"/>'
        f"{''.join(groups)}</svg>\n"
    )


def still(lines: Sequence[str], size: tuple[int, int]) -> str:
    """The SVG of one frame."""
    return film([(0.0, lines)], size, 1.0)


def _text(lines: Sequence[str]) -> str:
    parts = []
    for number, line in enumerate(lines):
        if not line.strip():
            continue
        kind = "c" if line.startswith("$ ") else "d" if "bound:" in line[:20] else ""
        style = f' class="{kind}"' if kind else ""
        y = MARGIN + LINE * number + FONT
        parts.append(f'<text x="{MARGIN}" y="{y}"{style}>{escape(line.rstrip())}</text>')
    return "".join(parts)
