"""The picture docs/tensorboard.png: `python -m tests.integration.screenshot RUN FILE.png`.

RUN as TensorBoard is to show it, so better a relative path.
"""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path

from PIL import Image

from tests.integration import boards, chromium, system

TAGS = "loss%7Caccuracy%24%7Cimages_per_second%24%7Cinput_wait"
SIZE = (1240, 950)
COLOURS = 64  # of a palette: some 40 kB instead of 100


def main(run: str, output: str) -> None:
    """Writes the scalars of a run, as they are drawn without smoothing."""
    port = system.free_port()
    with boards.running(boards.launch(run, port), port), chromium.page(*SIZE) as page:
        view = f"scalars&tagFilter={TAGS}&_smoothingWeight=0"
        page.open(f"http://localhost:{port}/#{view}")
        page.shows("tag:\nloss", "tag:\ntriplet_accuracy", "train", "validation")
        page.click("paper-checkbox", containing="Ignore outliers")  # they are points of the run
        lines = "path.line[d*='L']"
        system.wait_for("curves", lambda: len(page.all(lines)) >= len(TAGS.split("%7C")), 60)
        time.sleep(2)  # the axes move to the new range
        picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(output, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
