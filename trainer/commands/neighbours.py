r"""The pictures nearest to one, as a contact sheet with their distances.

    python -m trainer neighbours --workdir=RUN --query=FILE --images=DIR|DATASET --output=FILE.png \
        [--k=12] [--split=NAME] [--checkpoint=last|best]
    python -m trainer neighbours --workdir=RUN --query=FILE --embeddings=FILE.npz --output=FILE.png

With --embeddings nothing is embedded but the query; the pictures shown are read from where
`embed` had them. Distances are squared distances of embeddings for a triplet run, and cosine
distances (1 - cosine, 0 to 2) of the features in front of the last layer for a classifier. The
query itself is left out where it is a file of the folder.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from absl import flags

from trainer.cli import no_arguments, print_json, say
from trainer.errors import DataError, UsageError

if TYPE_CHECKING:
    from trainer.embedding import Nearest, Neighbour
    from trainer.gallery import Gallery
    from trainer.serving import Item, Serving

_WORKDIR = flags.DEFINE_string("workdir", None, "Run directory.", required=True)
_QUERY = flags.DEFINE_string("query", None, "The picture asked about.", required=True)
_IMAGES = flags.DEFINE_string("images", "", "Folder of pictures, or dataset.")
_EMBEDDINGS = flags.DEFINE_string("embeddings", "", "A file of `embed`, instead of --images.")
_OUTPUT = flags.DEFINE_string("output", None, "PNG file to write.", required=True)
_K = flags.DEFINE_integer("k", 12, "How many neighbours.", lower_bound=1, upper_bound=300)
_SPLIT = flags.DEFINE_string("split", "", "Split of a dataset; by default all.")
_CHECKPOINT = flags.DEFINE_enum("checkpoint", "last", ["last", "best"], "Which state.")
_JSON = flags.DEFINE_bool("json", False, "Print one JSON object: metric, neighbours, output.")


def main(arguments: list[str]) -> None:
    """Finds the neighbours and draws the sheet."""
    no_arguments(arguments)
    if bool(_IMAGES.value) == bool(_EMBEDDINGS.value):
        raise UsageError("give one of --images=DIR|DATASET and --embeddings=FILE.npz")
    if _EMBEDDINGS.value and _SPLIT.value:
        raise UsageError("--split goes with --images; --embeddings has the pictures it has")
    from trainer import quiet

    quiet.silence()
    from trainer.embedding import Nearest
    from trainer.runs import open_run
    from trainer.serving import EMBEDDING, Serving

    serving = Serving(open_run(_WORKDIR.value, _CHECKPOINT.value, say))
    (query,) = serving.file_pictures([_QUERY.value])
    if query.pixels is None:
        raise DataError(f"cannot read --query='{_QUERY.value}': {query.problem}")
    # One more than asked for: the query may be among them.
    nearest = Nearest(serving.said_of([query])[EMBEDDING][0], serving.metric, _K.value + 1)
    if _EMBEDDINGS.value:
        gallery = _of_file(serving, nearest)
    else:
        gallery = _of_pictures(serving, nearest)
    found = [each for each in nearest.found() if not gallery.holds(each.item.id, _QUERY.value)]
    found = found[: _K.value]
    if not found:
        raise DataError(f"no picture in '{gallery.path}' but the one asked about")
    _draw(serving, gallery, query, found)
    rows = [
        {
            "id": each.item.id,
            "distance": each.distance,
            "label": serving.classes[each.item.label] if each.item.label >= 0 else None,
            "split": each.item.split or None,
        }
        for each in found
    ]
    if _JSON.value:
        print_json({"metric": serving.metric, "neighbours": rows, "output": _OUTPUT.value})
        return
    print(f"{serving.metric}:")
    for row in rows:
        print(f"  {row['distance']:.4f}  {row['id']}" + (f"  {row['label'] or ''}".rstrip()))
    print(_OUTPUT.value)


def _of_pictures(serving: Serving, nearest: Nearest) -> Gallery:
    from tqdm import tqdm

    from trainer.embedding import embedded, words_of_unreadable
    from trainer.gallery import open_gallery

    gallery = open_gallery(serving, _IMAGES.value, _SPLIT.value)
    unreadable: list[Item] = []
    with tqdm(total=len(gallery), unit="picture", disable=None) as bar:
        for batch in embedded(serving, gallery):
            nearest.show(batch.items, batch.rows, batch.numbers)
            unreadable += batch.unreadable
            bar.update(len(batch.items) + len(batch.unreadable))
    for line in words_of_unreadable(unreadable):
        say(line)
    return gallery


def _of_file(serving: Serving, nearest: Nearest) -> Gallery:
    from trainer.embedding import load_embeddings
    from trainer.gallery import open_gallery
    from trainer.serving import Item

    stored = load_embeddings(_EMBEDDINGS.value)
    if stored["weights_digest"].item() != serving.run.session.weights_digest():
        raise DataError(
            f"--embeddings='{_EMBEDDINGS.value}' are not of the {_CHECKPOINT.value} state of "
            f"'{_WORKDIR.value}': run `trainer embed` again"
        )
    ids = stored["ids"].tolist()
    labels = stored["labels"].tolist() if "labels" in stored else [-1] * len(ids)
    splits = stored["splits"].tolist() if "splits" in stored else [""] * len(ids)
    items = [Item(n, None, "", a, s) for n, a, s in zip(ids, labels, splits, strict=True)]
    nearest.show(items, stored["embeddings"], stored["numbers"].tolist())
    return open_gallery(serving, stored["images"].item(), stored["split"].item())


def _draw(serving: Serving, gallery: Gallery, query: Item, found: list[Neighbour]) -> None:
    from trainer.report.neighbours import Shown, neighbours_sheet
    from trainer.report.sheet import png

    pictures = [
        Shown(
            each.item.pixels
            if each.item.pixels is not None
            else gallery.picture(each.number, each.item.id),
            each.item.id,
            each.distance,
            serving.classes[each.item.label] if each.item.label >= 0 else "",
        )
        for each in found
    ]
    assert query.pixels is not None
    asked = Shown(query.pixels, os.path.basename(query.id))
    data = png(neighbours_sheet(asked, pictures, f"Nearest by {serving.metric}"))
    temporary = f"{_OUTPUT.value}.tmp-{os.getpid()}"
    try:
        with open(temporary, "wb") as file:
            file.write(data)
        os.replace(temporary, _OUTPUT.value)
    except OSError as error:
        raise UsageError(f"--output='{_OUTPUT.value}': {error.strerror}") from None
