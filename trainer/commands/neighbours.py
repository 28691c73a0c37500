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

from absl import flags

from trainer.cli import no_arguments, print_json, say
from trainer.errors import UsageError

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
    from tqdm import tqdm

    from trainer import neighbours
    from trainer.embedding import words_of_unreadable
    from trainer.gallery import open_gallery
    from trainer.runs import open_run
    from trainer.serving import Serving

    serving = Serving(open_run(_WORKDIR.value, _CHECKPOINT.value, say))
    query = neighbours.read_query(serving, _QUERY.value)
    if _EMBEDDINGS.value:
        found = neighbours.among_embeddings(serving, query, _EMBEDDINGS.value, _K.value)
    else:
        gallery = open_gallery(serving, _IMAGES.value, _SPLIT.value)
        with tqdm(total=len(gallery), unit="picture", disable=None) as bar:
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
