r"""Embeddings of pictures: a .npz file, and TensorBoard's projector with a picture a point.

    python -m trainer embed --workdir=RUN --images=DIR|DATASET --output=FILE.npz \
        [--split=NAME] [--checkpoint=last|best]

Of a triplet run the embedding, compared by squared distance; of a classifier the features in
front of its last layer, compared by cosine distance. FILE.npz holds `embeddings` float32[N,E],
`ids`, `numbers` (places among the pictures given), where they are known `labels` (with `classes`;
-1 = not known) and `splits`, and what they are of: `metric`, `weights_digest`, `images`, `split`.
A dataset's pictures are taken as they came (variant 0); an id of a folder's is the path below it.
A file that cannot be read is named and left out. `make tensorboard RUN=RUN` shows the projector,
of at most 10,000 points.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from absl import flags

from trainer.cli import no_arguments, print_json, say
from trainer.errors import DataError, UsageError

if TYPE_CHECKING:
    from trainer.embedding import EmbeddingFile
    from trainer.gallery import Gallery
    from trainer.serving import Item, Serving

_WORKDIR = flags.DEFINE_string("workdir", None, "Run directory.", required=True)
_IMAGES = flags.DEFINE_string("images", None, "Folder of pictures, or dataset.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "The .npz file to write.", required=True)
_SPLIT = flags.DEFINE_string("split", "", "Split of a dataset; by default all.")
_CHECKPOINT = flags.DEFINE_enum("checkpoint", "last", ["last", "best"], "Which state.")
_JSON = flags.DEFINE_bool(
    "json", False, "Print one JSON object: pictures, unreadable, dimensions, metric, files."
)


def main(arguments: list[str]) -> None:
    """Embeds and writes the file and the projector's folder."""
    no_arguments(arguments)
    if not _OUTPUT.value.endswith(".npz"):
        raise UsageError(f"--output='{_OUTPUT.value}' does not end with .npz")
    from trainer import quiet

    quiet.silence()
    from trainer.embedding import EmbeddingFile, words_of_unreadable
    from trainer.gallery import open_gallery
    from trainer.runs import open_run
    from trainer.serving import Serving

    file = EmbeddingFile(_OUTPUT.value)
    serving = Serving(open_run(_WORKDIR.value, _CHECKPOINT.value, say))
    gallery = open_gallery(serving, _IMAGES.value, _SPLIT.value)
    sprites, unreadable = _embed(serving, gallery, file)
    for line in words_of_unreadable(unreadable):
        say(line)
    if not file.items:
        raise DataError(f"none of {len(unreadable)} pictures below '{_IMAGES.value}' can be read")
    file.write(serving, gallery)
    folder = _project(serving, file, sprites)
    result: dict[str, Any] = {
        "pictures": len(file.items),
        "unreadable": [{"id": item.id, "problem": item.problem} for item in unreadable],
        "dimensions": file.dimensions,
        "metric": serving.metric,
        "output": _OUTPUT.value,
        "projector": folder,
    }
    if _JSON.value:
        print_json(result)
        return
    print(
        f"{len(file.items)} embeddings of {file.dimensions} numbers ({serving.metric}), "
        f"{len(unreadable)} left out: {_OUTPUT.value}"
    )
    print(f"projector: make tensorboard RUN={_WORKDIR.value}")


def _embed(
    serving: Serving, gallery: Gallery, file: EmbeddingFile
) -> tuple[dict[int, Any], list[Item]]:
    """Fills the file; returns the projector's sprites by row, and what could not be read."""
    from tqdm import tqdm

    from trainer import projector
    from trainer.embedding import embedded

    shown = set(projector.chosen_points(len(gallery), serving.dimensions).tolist())
    sprites: dict[int, Any] = {}
    unreadable: list[Item] = []
    with tqdm(total=len(gallery), unit="picture", disable=None) as bar:
        for batch in embedded(serving, gallery):
            for row, (number, item) in enumerate(
                zip(batch.numbers, batch.items, strict=True), len(file.items)
            ):
                if number in shown:
                    assert item.pixels is not None
                    sprites[row] = projector.sprite(item.pixels)
            file.add(batch)
            unreadable += batch.unreadable
            bar.update(len(batch.items) + len(batch.unreadable))
    return sprites, unreadable


def _project(serving: Serving, file: EmbeddingFile, sprites: dict[int, Any]) -> str | None:
    """Writes the projector's folder, where one of its points could be read; returns its path."""
    if not sprites:
        return None
    import numpy as np

    from trainer.projector import write_projector
    from trainer.run_directory import RunDirectory

    chosen = np.array(list(sprites), np.int64)
    items = [file.items[row] for row in sprites]
    columns = {"id": [item.id for item in items]}
    if any(item.label >= 0 for item in items):
        names = {-1: "not known", **dict(enumerate(serving.classes))}
        columns["label"] = [names[item.label] for item in items]
    if any(item.split for item in items):
        columns["split"] = [item.split for item in items]
    logs = RunDirectory(_WORKDIR.value).tensorboard
    try:
        folder = write_projector(
            logs, serving.metric, file.rows(chosen), columns, list(sprites.values())
        )
    except OSError as error:
        raise UsageError(f"'{logs}' cannot be written: {error.strerror}") from None
    return str(folder)
