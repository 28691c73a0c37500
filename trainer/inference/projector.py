"""Files of TensorBoard's embedding projector: vectors, names, and a small picture each."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FOLDER = "projector"
MAX_POINTS = 10_000  # beyond which t-SNE and UMAP in the browser sample by themselves
MAX_NUMBERS = 4_000_000  # in the table of vectors: some 40 MB of text for the browser
MAX_SHEET = 8192  # side of the sheet of sprites, pixels: the limit of many graphics cards
SPRITE = 64  # side of a sprite where there is room, pixels
MAX_NAME = 120  # letters of a name


def chosen_points(count: int, dimensions: int) -> NDArray[np.int64]:
    """Which of `count` points are shown: all, or as many as a browser bears, evenly spread."""
    shown = max(1, min(count, MAX_POINTS, MAX_NUMBERS // max(1, dimensions)))
    return np.unique(np.linspace(0, count - 1, shown).round().astype(np.int64))


def sprite(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 [SPRITE, SPRITE, 3] of a picture [H, W, 1 or 3], its sides in proportion."""
    image = Image.fromarray(picture.squeeze(-1) if picture.shape[-1] == 1 else picture)
    image.thumbnail((SPRITE, SPRITE), Image.Resampling.LANCZOS)
    square = Image.new("RGB", (SPRITE, SPRITE))
    square.paste(image, ((SPRITE - image.width) // 2, (SPRITE - image.height) // 2))
    return np.asarray(square)


def sheet_layout(count: int) -> tuple[int, int]:
    """How many sprites a row has, and the side of one, pixels."""
    across = math.ceil(math.sqrt(count))
    return across, max(1, min(SPRITE, MAX_SHEET // across))


def sprite_sheet(sprites: Sequence[NDArray[np.uint8]]) -> tuple[NDArray[np.uint8], int]:
    """The sprites in rows of a square, the first at the top left, and the side of one."""
    across, side = sheet_layout(len(sprites))
    sheet = np.zeros((across * side, across * side, 3), np.uint8)
    for number, each in enumerate(sprites):
        small = each
        if side < SPRITE:
            small = np.asarray(Image.fromarray(each).resize((side, side), Image.Resampling.BOX))
        top, left = number // across * side, number % across * side
        sheet[top : top + side, left : left + side] = small
    return sheet, side


def metadata(columns: Mapping[str, Sequence[str]]) -> str:
    """The table of names: a header if there are several columns, as the projector wants.

    Names come from anywhere: tabs, line ends and whatever cannot be seen become a dot, and so
    do the brackets of markup.
    """
    names = list(columns)
    rows = zip(
        *([_harmless(value) for value in column] for column in columns.values()), strict=True
    )
    lines = ["\t".join(names)] if len(names) > 1 else []
    return "".join(line + "\n" for line in [*lines, *("\t".join(row) for row in rows)])


def _harmless(text: str) -> str:
    shown = "".join(c if c.isprintable() and c not in "<>" else "·" for c in text)
    if len(shown) > MAX_NAME:
        shown = f"…{shown[-MAX_NAME:]}"  # paths differ at their ends
    return shown if shown.strip() else "·"


def write_projector(
    logs: Path,
    name: str,
    embeddings: NDArray[np.float32],
    columns: Mapping[str, Sequence[str]],
    sprites: Sequence[NDArray[np.uint8]],
) -> Path:
    """Writes `projector/` below a run's TensorBoard logs, in the place of an earlier one.

    Args:
      logs: the `tensorboard` folder of a run.
      name: of the embedding, as TensorBoard shows it.
      embeddings: float32 [N, E].
      columns: names of the points, N each.
      sprites: N of sprite().

    Returns:
      The folder.
    """
    import tensorflow as tf
    from google.protobuf import text_format
    from tensorboard.plugins import projector

    folder, temporary = logs / FOLDER, logs / f".{FOLDER}.tmp-{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        with open(temporary / "tensors.tsv", "w", encoding="ascii") as file:
            for row in embeddings.tolist():
                file.write("\t".join(f"{value:.6g}" for value in row) + "\n")
        (temporary / "metadata.tsv").write_text(metadata(columns), encoding="utf-8", newline="\n")
        sheet, side = sprite_sheet(sprites)
        Image.fromarray(sheet).save(temporary / "sprites.png")
        config = projector.ProjectorConfig()
        embedding = config.embeddings.add(
            tensor_name=_harmless(name), tensor_path="tensors.tsv", metadata_path="metadata.tsv"
        )
        embedding.sprite.image_path = "sprites.png"
        embedding.sprite.single_image_dim.extend([side, side])
        text = text_format.MessageToString(config)
        (temporary / "projector_config.pbtxt").write_text(text, encoding="utf-8")
        # TensorBoard takes a folder for a run only where it finds events.
        writer = tf.summary.create_file_writer(str(temporary))
        with writer.as_default(step=0):
            tf.summary.text("embeddings", f"{len(embeddings)} pictures, {_harmless(name)}")
        writer.close()
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder
