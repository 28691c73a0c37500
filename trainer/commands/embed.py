r"""Writes embeddings of pictures: a .npz file, and TensorBoard's projector with their thumbnails.

    python -m trainer embed --workdir=RUN[,RUN2,...] --images=DIR|DATASET --output=FILE.npz \
        [--split=NAME] [--checkpoint=last|best] [--layer=NAME] [--tta=N] [--batch_size=N]

For a triplet run, the embedding, compared by squared distance; for a classifier, the features in
front of its last layer, compared by cosine distance. FILE.npz holds `embeddings` float32[N,E],
`ids`, `numbers` (index among the given pictures), if known `labels` (with `classes`; -1 = unknown)
and `splits`, and their origin: `metric`, `weights_digest`, `images`, `split`. Of a dataset, variant
0 is embedded; the id of a picture of a folder is its path below the folder. A file that cannot be
read is named and skipped. `make tensorboard RUN=RUN` shows the projector, of at most 10,000 points.

--layer=NAME takes the output of a layer inside the network, as `check --layers` lists it, averaged
over rows and columns, and compared by cosine distance; the file notes it as `layer`.

--tta=N takes the mean over N draws of the on-device layers. Embeddings of several runs are set side
by side, so that the distance of two is the mean of their distances in each run; there is no
projector of these, and `neighbours` takes those of one run.
"""

from __future__ import annotations

from absl import flags

from preprocess.shell.cli import no_arguments, print_json, say
from preprocess.shell.errors import UsageError
from preprocess.shell.path_flags import define_path, define_paths
from preprocess.shell.progress import terminal_bar
from trainer.commands import measuring_flags, trust_flag
from trainer.commands.measuring_flags import BATCH_SIZE, TTA, run_directories
from trainer.commands.trust_flag import TRUST

flags.adopt_module_key_flags(trust_flag)
flags.adopt_module_key_flags(measuring_flags)

_WORKDIR = define_paths("workdir", None, "Run directories.", required=True)
_IMAGES = define_path("images", None, "Folder of pictures, or dataset.", required=True)
_OUTPUT = define_path("output", None, "The .npz file to write.", required=True)
_SPLIT = flags.DEFINE_string("split", "", "Split of a dataset; by default all.")
_CHECKPOINT = flags.DEFINE_enum("checkpoint", "last", ["last", "best"], "Which state.")
_LAYER = flags.DEFINE_string("layer", "", "Layer whose output to take; by default the embedding.")
_JSON = flags.DEFINE_bool(
    "json", False, "Print one JSON object: pictures, unreadable, dimensions, metric, files."
)


def main(arguments: list[str]) -> None:
    """Embeds and writes the file and the projector's folder."""
    no_arguments(arguments)
    workdirs = run_directories(_WORKDIR.value)
    if not _OUTPUT.value.endswith(".npz"):
        raise UsageError(f"--output='{_OUTPUT.value}' does not end with .npz")
    from trainer.compat import quiet

    quiet.silence()
    from trainer.inference.embedding import EmbeddingFile, embed, words_of_unreadable
    from trainer.inference.ensemble import Ensemble
    from trainer.inference.gallery import open_gallery
    from trainer.inference.trained_run import open_runs_here
    from trainer.training.run_directory import RunDirectory

    file = EmbeddingFile(_OUTPUT.value)
    runs = open_runs_here(workdirs, _CHECKPOINT.value, say, TRUST.value, BATCH_SIZE.value)
    ensemble = Ensemble(runs, TTA.value, layer=_LAYER.value)
    gallery = open_gallery(ensemble.first, _IMAGES.value, _SPLIT.value)
    logs = RunDirectory(workdirs[0]).tensorboard if len(runs) == 1 else None
    with terminal_bar(total=len(gallery), unit="picture") as bar:
        done = embed(ensemble, gallery, file, logs, bar.update)
    for line in words_of_unreadable(done.unreadable):
        say(line)
    if _JSON.value:
        print_json(
            {
                "pictures": done.pictures,
                "unreadable": [
                    {"id": each.id, "problem": each.problem} for each in done.unreadable
                ],
                "dimensions": ensemble.dimensions,
                "metric": ensemble.metric,
                "output": _OUTPUT.value,
                "projector": str(done.projector) if done.projector else None,
            }
        )
        return
    print(
        f"{done.pictures} embeddings of {ensemble.dimensions} numbers ({ensemble.metric}), "
        f"{len(done.unreadable)} left out: {_OUTPUT.value}"
    )
    if done.projector:
        print(f"projector: make tensorboard RUN={workdirs[0]}")
