r"""Draws the pictures nearest to one, as a contact sheet with their distances.

    python -m trainer neighbours --workdir=RUN --query=FILE --images=DIR|DATASET --output=FILE.png \
        [--k=12] [--split=NAME] [--checkpoint=last|best]
    python -m trainer neighbours --workdir=RUN --query=FILE --embeddings=FILE.npz --output=FILE.png

With --embeddings only the query is embedded; the pictures shown are read from where `embed` found
them, or from --images, which has to be given where that is an address. Distances are squared
distances of embeddings for a triplet run, and cosine distances (1 - cosine, 0 to 2) of the features
in front of the last layer for a classifier. The query itself is left out if it is a file of the
folder.
"""

from __future__ import annotations

from absl import flags

from preprocess.shell.cli import no_arguments, print_json, say
from preprocess.shell.errors import UsageError
from preprocess.shell.path_flags import define_path
from preprocess.shell.progress import terminal_bar
from trainer.commands import trust_flag
from trainer.commands.trust_flag import TRUST

flags.adopt_module_key_flags(trust_flag)

_WORKDIR = define_path("workdir", None, "Run directory.", required=True)
_QUERY = define_path("query", None, "The picture asked about.", required=True)
_IMAGES = define_path("images", "", "Folder of pictures, or dataset.")
_EMBEDDINGS = define_path("embeddings", "", "A file of `embed`, so that --images is not embedded.")
_OUTPUT = define_path("output", None, "PNG file to write.", required=True)
_K = flags.DEFINE_integer("k", 12, "How many neighbours.", lower_bound=1, upper_bound=300)
_SPLIT = flags.DEFINE_string("split", "", "Split of a dataset; by default all.")
_CHECKPOINT = flags.DEFINE_enum("checkpoint", "last", ["last", "best"], "Which state.")
_JSON = flags.DEFINE_bool("json", False, "Print one JSON object: metric, neighbours, output.")


def main(arguments: list[str]) -> None:
    """Finds the neighbours and draws the sheet."""
    no_arguments(arguments)
    if not _IMAGES.value and not _EMBEDDINGS.value:
        raise UsageError("give one of --images=DIR|DATASET and --embeddings=FILE.npz")
    if _EMBEDDINGS.value and _SPLIT.value:
        raise UsageError("--split selects from --images and cannot be used with --embeddings")
    from trainer.compat import quiet

    quiet.silence()
    from trainer.inference import neighbours
    from trainer.inference.embedding import layer_of_embeddings, words_of_unreadable
    from trainer.inference.gallery import open_gallery
    from trainer.inference.serving import Serving
    from trainer.inference.trained_run import open_run

    layer = layer_of_embeddings(_EMBEDDINGS.value) if _EMBEDDINGS.value else ""
    serving = Serving(open_run(_WORKDIR.value, _CHECKPOINT.value, say, TRUST.value), layer)
    query = neighbours.read_query(serving, _QUERY.value)
    if _EMBEDDINGS.value:
        found = neighbours.among_embeddings(
            serving, query, _EMBEDDINGS.value, _K.value, _IMAGES.value
        )
    else:
        gallery = open_gallery(serving, _IMAGES.value, _SPLIT.value)
        with terminal_bar(total=len(gallery), unit="picture") as bar:
            found = neighbours.among_pictures(serving, query, gallery, _K.value, bar.update)
    for line in words_of_unreadable(found.unreadable):
        say(line)
    neighbours.write_sheet(serving, found, _OUTPUT.value)
    rows = [
        {
            "id": each.item.id,
            "distance": each.distance,
            "label": neighbours.class_name(serving, each.item),
            "split": each.item.split or None,
        }
        for each in found.neighbours
    ]
    if _JSON.value:
        print_json({"metric": serving.metric, "neighbours": rows, "output": _OUTPUT.value})
        return
    print(f"{serving.metric}:")
    for row in rows:
        print(f"  {row['distance']:.4f}  {row['id']}  {row['label'] or ''}".rstrip())
    print(_OUTPUT.value)
