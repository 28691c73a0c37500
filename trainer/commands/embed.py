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

from absl import flags

from trainer.cli import no_arguments, print_json, say
from trainer.errors import UsageError

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
    from tqdm import tqdm

    from trainer.embedding import EmbeddingFile, embed, words_of_unreadable
    from trainer.gallery import open_gallery
    from trainer.run_directory import RunDirectory
    from trainer.runs import open_run
    from trainer.serving import Serving

    file = EmbeddingFile(_OUTPUT.value)
    serving = Serving(open_run(_WORKDIR.value, _CHECKPOINT.value, say))
    gallery = open_gallery(serving, _IMAGES.value, _SPLIT.value)
    logs = RunDirectory(_WORKDIR.value).tensorboard
    with tqdm(total=len(gallery), unit="picture", disable=None) as bar:
        done = embed(serving, gallery, file, logs, bar.update)
    for line in words_of_unreadable(done.unreadable):
        say(line)
    if _JSON.value:
        print_json(
            {
                "pictures": done.pictures,
                "unreadable": [
                    {"id": each.id, "problem": each.problem} for each in done.unreadable
                ],
                "dimensions": serving.dimensions,
                "metric": serving.metric,
                "output": _OUTPUT.value,
                "projector": str(done.projector) if done.projector else None,
            }
        )
        return
    print(
        f"{done.pictures} embeddings of {serving.dimensions} numbers ({serving.metric}), "
        f"{len(done.unreadable)} left out: {_OUTPUT.value}"
    )
    if done.projector:
        print(f"projector: make tensorboard RUN={_WORKDIR.value}")
