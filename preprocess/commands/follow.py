r"""Builds the variants of a training's next passes while it trains, and removes the old ones.

    python -m preprocess follow DATASET --run=RUN [--ahead=2] [--keep=4] [-- BEAM OPTIONS]
    python -m trainer train --config.data.variants=live --data=DATASET --workdir=RUN ...

Pass p of the training reads variant p. Those that the dataset was built with are used as they are;
the others are built into DATASET/live, with the bytes that `preprocess build` with as many
--variants would give them, by the same seed and recipe. The dataset itself stays as it is.

DATASET is the directory that `preprocess build` wrote (its .build says where the pictures are, and
they are read again), and RUN the --workdir of the training; both may start first. Where the
follower is behind, the training waits, and its verdict says how many more workers would do.

Killed at any moment, the same command resumes. It ends when the run has (of a run that had ended
before, after three minutes in which nothing resumed it), or on SIGTERM with 75. Only one follower
or build works on a dataset at a time. Options for Apache Beam follow `--`; of a cluster,
--parallelism=N or --num_workers=N also says how many workers the measured rate is of.
"""

from __future__ import annotations

from absl import flags

from preprocess.shell.cli import one_argument, print_json
from preprocess.shell.errors import UsageError
from preprocess.shell.path_flags import define_path

_RUN = define_path("run", None, "Run directory of the training to follow.", required=True)
_AHEAD = flags.DEFINE_integer(
    "ahead", 2, "Variants built ahead of the pass that the training is in.", 1, 1000
)
_KEEP = flags.DEFINE_integer(
    "keep",
    4,
    "Variants kept, of the current pass and those before it; a training that resumes further back "
    "waits for its variant to be built again.",
    1,
    1000,
)
_RECIPE = define_path(
    "recipe", "", "Recipe of the variants, where the dataset was built with --variants=1."
)
_WORKERS = flags.DEFINE_integer(
    "workers", 0, "Threads or processes that build; 0 = all cores.", 0, 1024
)
_CHECK = flags.DEFINE_bool(
    "check", False, "Only check the dataset and its recipe, and write nothing."
)
_JSON = flags.DEFINE_bool("json", False, "Print one JSON object at the end.")


def main(arguments: list[str]) -> None:
    """Follows the run."""
    from preprocess import storage
    from preprocess.engines.stopping import ending_at_once_when_told
    from preprocess.follow.follower import FollowRequest, check, follow

    dataset, beam_arguments = one_argument(arguments[:1], "DATASET"), arguments[1:]
    if beam_arguments and not beam_arguments[0].startswith("--"):
        raise UsageError(f"unexpected argument '{beam_arguments[0]}'; Beam's options follow ' -- '")
    request = FollowRequest(
        dataset=storage.absolute(dataset),
        run=storage.absolute(_RUN.value),
        ahead=_AHEAD.value,
        keep=_KEEP.value,
        recipe=_RECIPE.value,
        workers=_WORKERS.value,
        beam_arguments=tuple(beam_arguments),
    )
    if _CHECK.value:
        check(request)
        return
    with ending_at_once_when_told("preprocess follow"):
        found = follow(request)
    if _JSON.value:
        print_json(found)
