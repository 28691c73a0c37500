r"""Trains a configuration on a dataset directory.

    python -m trainer train --config=trainer/configs/NAME.py --data=DATASET --workdir=RUN \
        [--config.KEY=VALUE ...] [--local_workers=N]

Started again, it goes on where it stopped. RUN/report.html shows the result, RUN/tensorboard
the curves. After SIGTERM it saves and ends with 75, after Ctrl-C with 130 (a second one ends it
at once); a diverged run ends with 70 and keeps the state before it, a full disk with 74.

With TF_CONFIG it is one of several workers, each started with the same command: worker 0 writes
RUN, all of them log to RUN/logs/worker-N.log, and where one is lost the others end with 75, for
all to be started again. --local_workers=N does all that on this machine.
"""

from __future__ import annotations

import sys
from typing import Any

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
_LOCAL_WORKERS = flags.DEFINE_integer(
    "local_workers", 0, "Workers to start as processes of this machine; 0 = train in this one.", 0
)
_MAX_RESTARTS = flags.DEFINE_integer(
    "max_restarts", 3, "How often --local_workers starts them again after a fault.", 0
)
_PROFILE = flags.DEFINE_bool(
    "profile", False, "Trace ten calls for TensorBoard once this process is warm."
)
_JSON = flags.DEFINE_bool("json", False, "Print report.json's content as one JSON object.")


def main(arguments: list[str]) -> None:
    """Trains, reports, prints where things are."""
    no_arguments(arguments)
    from trainer.config import load_config

    pairs = [pair.partition("=")[::2] for pair in _OVERRIDES.value]
    config = load_config(_CONFIG.value, pairs)
    config.profile.on_start |= _PROFILE.value
    if _LOCAL_WORKERS.value:
        from trainer.gang import run_gang
        from trainer.worker_process import worker_command

        gangs = (_LOCAL_WORKERS.name, _MAX_RESTARTS.name)
        command = worker_command("train", __name__, gangs)
        sys.exit(run_gang(command, _LOCAL_WORKERS.value, _MAX_RESTARTS.value))
    from trainer.cluster import cluster_of_environment

    cluster = cluster_of_environment()
    if cluster is None:
        _train(config, chief=True)
        return
    from trainer.gang import end_with_parent
    from trainer.signals import leave
    from trainer.worker_process import exit_code

    end_with_parent()
    # Threads deep inside TensorFlow, waiting for a peer, would keep Python from ending.
    leave(exit_code("train", lambda: _train(config, chief=cluster.rank == 0)))


def _train(config: Any, chief: bool) -> None:
    from trainer import quiet, signals

    signals.leave_on_sigterm(say)
    quiet.silence()
    from trainer.staging import staged
    from trainer.steps import EXIT_DIVERGED, Diverged
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
    if not chief:
        return
    if _JSON.value:
        print_json(report)
        return
    from trainer.report.words import what_to_do

    print("\n".join(what_to_do(report["bottleneck"])))
    print(f"{_WORKDIR.value}/report.html")
