r"""Trains a configuration on a dataset directory.

    python -m trainer train --config=trainer/configs/NAME.py --data=DATASET --workdir=RUN \
        [--config.KEY=VALUE ...]

Started again, it goes on where it stopped. RUN/report.html shows the result, RUN/tensorboard
the curves. After SIGTERM it saves and ends with 75; a diverged run ends with 70 and keeps the
state before it.
"""

from __future__ import annotations

import sys

from absl import flags

from trainer.cli import no_arguments, print_json, say

_DATA = flags.DEFINE_string("data", None, "Dataset directory, or gs://...", required=True)
_STAGE_TO = flags.DEFINE_string(
    "stage_to", "", "Local directory to copy a dataset at gs://... to before it is read."
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Run directory to write.", required=True)
_CONFIG = flags.DEFINE_string(
    "config", None, "Configuration: a file, or the name of a preset.", required=True
)
_OVERRIDES = flags.DEFINE_multi_string(
    "override", [], "KEY=VALUE; what --config.KEY=VALUE is turned into."
)
_JSON = flags.DEFINE_bool("json", False, "Print report.json's content as one JSON object.")


def main(arguments: list[str]) -> None:
    """Trains, reports, prints where things are."""
    no_arguments(arguments)
    from trainer.config import load_config

    pairs = [pair.partition("=")[::2] for pair in _OVERRIDES.value]
    config = load_config(_CONFIG.value, pairs)
    from trainer import quiet

    quiet.silence()
    from trainer.loop import EXIT_DIVERGED, Diverged
    from trainer.staging import staged
    from trainer.training import train

    data = staged(_DATA.value, _STAGE_TO.value, say)
    try:
        report = train(config, data, _WORKDIR.value, say)
    except Diverged as error:
        rate = config.optimizer.learning_rate
        say(
            f"trainer train: diverged: {error}. What was saved before it is kept in "
            f"{_WORKDIR.value}/checkpoints; lower optimizer.learning_rate={rate:g}"
        )
        sys.exit(EXIT_DIVERGED)
    if _JSON.value:
        print_json(report)
        return
    print(report["bottleneck"]["verdict"])
    print(f"{_WORKDIR.value}/report.html")
