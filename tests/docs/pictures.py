"""The pictures of docs/ that show real runs: `python -m tests.docs.pictures PHOTOS [--only=NAME]`.

PHOTOS has a folder of pictures for each class. Everything runs on this machine, in a folder that is
removed afterwards (minutes on a CPU):

    terminal.svg   plan, build, train and diagnose, as recorded on a terminal
    timeline.png   RUN/plots/timeline.png of two workers, of which one is killed

tests/integration/screenshot.py makes tensorboard.png, which needs a browser.
"""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.docs.blocks import ROOT
from tests.docs.film import film
from tests.docs.recording import Recording, Screen, record

DOCS = ROOT / "docs"
SIZE = (100, 30)  # columns and rows of the terminal
LONGEST_PAUSE = 0.5  # seconds between two changes of the screen, whatever the command took
SHORTEST_FRAME = 0.12
HOME = "/home/ann"
READING = 2.5  # seconds after a command has ended
SMALL = "--config.model.backbone=cnn --config.model.weights=''"
CONFIG = f"--config=image_folder --data=dataset {SMALL} --config.batch_size=32"
COMMANDS = (
    "python -m preprocess plan --images=photos --output=dataset"
    " --splits=train:0.7,validation:0.15,test:0.15 --image_size=160 --variants=4",
    "python -m preprocess build --images=photos --output=dataset"
    " --splits=train:0.7,validation:0.15,test:0.15 --image_size=160 --variants=4",
    f"python -m trainer train --workdir=run {CONFIG} --config.epochs=4",
    f"python -m trainer diagnose {CONFIG}",
)
DEMO = (
    "python -m preprocess synth --output=faces --faces=300 --triplets=900",
    "python -m preprocess build --source=fec --csv=faces/labels.csv --images=faces/images_cropped"
    " --output=faces-dataset --variants=4",
)
REHEARSAL = (
    "python -m launch rehearse train --backend=job --workers=2"
    " --image=registry.example/shardline@sha256:" + 64 * "0" + " --kill=1@step90"
    " -- --config=demo --data=faces-dataset --workdir=killed-run --config.epochs=6"
    " --config.virtual_replicas=0 --config.checkpoint.every_steps=20"
)


def arguments(command: str) -> list[str]:
    """A command line that runs under this interpreter."""
    program, *rest = shlex.split(command)
    assert program == "python"
    return [sys.executable, *rest]


def frames(recordings: Sequence[Recording]) -> tuple[list[tuple[float, list[str]]], float]:
    """(start, lines) of each frame, and the end: pauses are cut, what is read stays longer."""
    columns, rows = SIZE
    screen = Screen(columns)
    made: list[tuple[float, list[str]]] = []
    now = 0.0

    def show() -> None:
        lines = screen.lines[-rows:]
        if made and now - made[-1][0] < SHORTEST_FRAME:
            made[-1] = (made[-1][0], list(lines))
        else:
            made.append((now, list(lines)))

    for recording in recordings:
        screen.write("$ " + _folded(recording.command, columns - 2) + "\n")
        show()
        now += 1.0
        before = 0.0
        for seconds, text in recording.pieces:
            now += min(seconds - before, LONGEST_PAUSE)
            before = seconds
            screen.write(text)
            show()
        now += READING
        if screen.lines[-1]:
            screen.write("\n")
    return made, now


def _folded(command: str, width: int) -> str:
    """A long command on several lines, as a person would type it."""
    lines = [""]
    for word in command.split(" "):
        if len(lines[-1]) + len(word) + 2 > width:
            lines[-1] += "\\\n"
            lines.append("    ")
        lines[-1] += f"{word} "
    return "".join(lines).rstrip()


def terminal(folder: Path) -> None:
    """Writes terminal.svg."""
    recordings = [record(command, arguments(command), folder, SIZE) for command in COMMANDS]
    made, end = frames([_at_home(recording, folder) for recording in recordings])
    (DOCS / "terminal.svg").write_text(film(made, SIZE, end), encoding="utf-8")


def _at_home(recording: Recording, folder: Path) -> Recording:
    """With HOME in place of the temporary folder."""
    pieces = [(at, text.replace(str(folder), HOME)) for at, text in recording.pieces]
    return dataclasses.replace(recording, pieces=tuple(pieces))


def timeline(folder: Path) -> None:
    """Writes timeline.png."""
    for command in (*DEMO, REHEARSAL):
        subprocess.run(arguments(command), cwd=folder, check=True)
    picture = (folder / "killed-run" / "plots" / "timeline.png").read_bytes()
    (DOCS / "timeline.png").write_bytes(picture)


MAKERS = {"terminal": terminal, "timeline": timeline}


def main() -> None:
    """Makes the pictures that are asked for, all by default."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--only", choices=MAKERS, action="append")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "photos").symlink_to(flags.photos.resolve())
        for package in ("preprocess", "trainer", "launch"):
            (folder / package).symlink_to(ROOT / package)
        for maker in flags.only or MAKERS:
            MAKERS[maker](folder)


if __name__ == "__main__":
    main()
