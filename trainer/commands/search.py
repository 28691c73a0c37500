r"""Searches a space of configurations by many short runs; several processes share one search.

    python -m trainer search --config=PRESET --space=fec_two_stage --data=DATASET --workdir=DIR \
        [--trials=N] [--repeats=N] [--config.KEY=VALUE ...]

A space is a YAML file, or the name of a shipped one; trainer/search/space.py describes the
format. Every run is a `trainer train` in DIR/trials/NNN. Run again, the search resumes: an
interrupted run continues, finished ones are not repeated, and --trials and --repeats may be larger.
The same command in more processes, on this machine or on others that see DIR, works on the same
search; CUDA_VISIBLE_DEVICES gives each its GPUs.

DIR/search.json, search.csv and search.png hold the result, DIR/tensorboard the HParams page
(make tensorboard RUN=DIR). On SIGTERM the current run is saved, and the search exits with 75.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from absl import flags

from preprocess.shell.cli import no_arguments, print_json, say
from preprocess.shell.errors import UsageError
from preprocess.shell.exit_codes import ExitCode
from preprocess.shell.path_flags import define_path, define_repeated_path

_DATA = define_repeated_path("data", None, "Dataset directory; a single one.", required=True)
_WORKDIR = define_path("workdir", None, "Folder of the search.", required=True)
_CONFIG = define_path(
    "config", None, "Configuration: a file, the name of a preset, or an earlier RUN.", required=True
)
_SPACE = define_path("space", None, "Space: a YAML file, or a name.", required=True)
_TRIALS = flags.DEFINE_integer(
    "trials",
    0,
    "Runs in all; 0 = what the space says: the whole grid, or its `trials:`.",
    lower_bound=0,
    upper_bound=1_000_000,
)
_REPEATS = flags.DEFINE_integer(
    "repeats", 0, "Runs of each point; 0 = what the space says.", lower_bound=0, upper_bound=10_000
)
_KEEP = flags.DEFINE_bool("keep_weights", False, "Keep checkpoints and model of finished runs.")
_OVERRIDES = flags.DEFINE_multi_string(
    "override", [], "KEY=VALUE; what --config.KEY=VALUE is turned into."
)
_JSON = flags.DEFINE_bool("json", False, "Print search.json's content as one JSON object.")


def main(arguments: list[str]) -> None:
    """Searches, writes the result, prints the table."""
    no_arguments(arguments)
    if len(_DATA.value) > 1:
        raise UsageError(
            f"--data is given {len(_DATA.value)} times: search trains on one set; build one "
            "dataset of all of them"
        )
    from trainer.config.running_sections import LIVE
    from trainer.search.space import GRID, base_config, load_space

    pairs = [(key, text) for key, _, text in (each.partition("=") for each in _OVERRIDES.value)]
    space, config = base_config(load_space(_SPACE.value), _CONFIG.value, pairs)
    if config.data.shares:
        raise UsageError(
            "data.shares is for several --data, and search trains on one set: add "
            "--config.data.shares="
        )
    if config.data.live:
        raise UsageError(
            f"data.variants={LIVE}: a follower builds for one training, and search makes many: set "
            "--config.data.variants to a number"
        )
    limit = _TRIALS.value or space.trials
    if space.sampler != GRID and not limit:
        raise UsageError(f"--space={_SPACE.value} samples its values; set --trials=NUMBER_OF_RUNS")
    from trainer.search.worker import Interrupted, Request, search

    folder = Path(_WORKDIR.value)
    repeats = _REPEATS.value or space.repeats
    request = Request(folder, _DATA.value[0], space, config, repeats, limit, _KEEP.value)
    try:
        runs = search(request, say)
    except Interrupted as end:
        if end.number == signal.SIGINT:
            raise KeyboardInterrupt from None
        say("SIGTERM: the current run is saved; the same command resumes")
        sys.exit(ExitCode.SAVED)
    from trainer.search.report import MOST_CURVES, result_of, table_text, write_result
    from trainer.search.search_run import FINISHED
    from trainer.training.recorded_curves import recorded_curves

    finished = [folder / "trials" / run.name for run in runs if run.state == FINISHED]
    curves = recorded_curves(finished[:MOST_CURVES], space.metric)
    result = result_of(space, request.start, runs, repeats, curves)
    write_result(folder, result, space, request.start, runs, repeats)
    if _JSON.value:
        print_json(result)
    else:
        print(table_text(result))
        print(f"{folder}/search.png")
    if not any(run.value is not None for run in runs):
        diverged = all(run.reason.startswith("diverged") for run in runs)
        sys.exit(ExitCode.DIVERGED if diverged else ExitCode.FAULT)
