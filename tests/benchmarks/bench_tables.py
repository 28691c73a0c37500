"""Planning a table of a million triplets in every dialect, against a plain one.

    python -m tests.benchmarks.bench_tables [--rows=1000000] [--rounds=3] [--folder=DIR] [--json]

The same triplets, over 20,000 pictures, as spreadsheets write them. What is timed is the planning
of `preprocess plan`, reading the table and dividing it into shards, in a process of its own; each
dialect in turn with the plain table, A B A B, by processor time, since others may use the machine.

The bar: no dialect takes more than 1.3 times what the plain table takes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.build_runs import ROOT, linked_set

RATIO_BAR = 1.3
PICTURES = 20_000
PLAIN = "plain"

Write = Callable[[list[list[str]]], bytes]
"""A table's bytes, of its rows with the header first."""


def joined(separator: str = ",", end: str = "\n", note: str = "") -> Write:
    """Cells between separators; `note` is one more cell of each row."""
    more = separator + note if note else ""
    return lambda rows: "".join(f"{separator.join(row)}{more}{end}" for row in rows).encode()


def european(rows: list[list[str]]) -> bytes:
    """`;` between cells, decimal commas."""
    return joined(";")([[cell.replace(".", ",") for cell in row] for row in rows])


def votes(scale: float, text: str) -> Write:
    """Votes as `scale` times the shares."""

    def write(rows: list[list[str]]) -> bytes:
        values = [text.format(round(float(vote) * scale, 2)) for vote in rows[1][3:6]]
        return joined()([rows[0], *([*row[:3], *values, *row[6:]] for row in rows[1:])])

    return write


DIALECTS: dict[str, Write] = {
    "semicolons and decimal commas": european,
    "tabs": joined("\t"),
    "a sep= line": lambda rows: b"sep=;\n" + joined(";")(rows),
    "CR LF": joined(end="\r\n"),
    "CR": joined(end="\r"),
    "blank lines": joined(end="\n\n"),
    "rows of delimiters": joined(end="\n,,,,,,,\n"),
    "every cell in quotes": lambda rows: joined()([[f'"{c}"' for c in row] for row in rows]),
    "blanks before quotes": lambda rows: joined(", ")([[f'"{c}"' for c in row] for row in rows]),
    "line breaks in quotes": joined(note='"two\nlines"'),
    "UTF-16": lambda rows: joined()(rows).decode().encode("utf-16"),
    "percentages": votes(100, "{:g}%"),
    "counts": votes(6, "{:.0f}"),
}

PLAN = """
import json, sys, time
from preprocess.build.builder import plan_build
from tests.preprocess import made
request = made.request("fec", "unused", csv=sys.argv[1], images=sys.argv[2], variants=1)
begun = time.process_time()
source, _ = plan_build(request)
print(json.dumps([time.process_time() - begun, len(source.triplets)]))
"""


def planned(table: Path, images: Path) -> tuple[float, int]:
    """Seconds of a processor, and triplets."""
    done = subprocess.run(
        [sys.executable, "-c", PLAN, str(table), str(images)],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    seconds, triplets = json.loads(done.stdout)
    return seconds, triplets


def measure(folder: Path, rows: int, rounds: int) -> dict[str, Any]:
    """Plans each dialect `rounds` times, in turn with the plain table; a line each on stderr."""
    made = linked_set(folder, PICTURES, rows)
    cells = [line.split(",") for line in made["csv"].read_text().splitlines()]
    table = folder / "dialect.csv"
    results = {}
    for name, write in DIALECTS.items():
        table.write_bytes(write(cells))
        pairs = []
        for _ in range(rounds):
            plain, _ = planned(made["csv"], made["images"])
            seconds, triplets = planned(table, made["images"])
            if triplets != rows:
                raise RuntimeError(f"{name}: {triplets} triplets of {rows}")
            pairs.append((plain, seconds))
        plain, seconds = (statistics.median(side) for side in zip(*pairs, strict=True))
        ratio = seconds / plain
        print(f"{name:<30} {seconds:6.2f} s, plain {plain:6.2f} s: {ratio:.2f} x", file=sys.stderr)
        results[name] = {PLAIN: plain, "seconds": seconds, "ratio": ratio}
    return {
        "rows": rows,
        "dialects": results,
        "bar": RATIO_BAR,
        "ok": all(result["ratio"] <= RATIO_BAR for result in results.values()),
    }


def main() -> None:
    """Measure and print: lines, or one JSON object with --json."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", help="where to work; a temporary folder by default")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        report = measure(Path(folder), arguments.rows, arguments.rounds)
    if arguments.json:
        print(json.dumps(report))
    else:
        print(f"bar {RATIO_BAR} x: {'ok' if report['ok'] else 'MISSED'}")
    sys.exit(0 if report["ok"] else 1)


if __name__ == "__main__":
    main()
