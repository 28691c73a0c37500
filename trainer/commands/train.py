r"""Trains a configuration on a dataset directory.

    python -m trainer train --config=trainer/configs/NAME.py --data=DATASET --workdir=RUN \
        [--config.KEY=VALUE ...] [--local_workers=N]

--data given several times trains on several datasets together: each batch has rows of all of them,
in the shares of --config.data.shares=7,3.

Run again, it resumes where it stopped; --config.epochs may then be higher, which stretches a
schedule without a length of its own. --from=RUN@best starts a new run from another run's state, to
change what may not change on resume: batch size, optimizer, learning rate.

RUN/report.html shows the result, RUN/tensorboard the curves. On SIGTERM, or SIGHUP unless it is
ignored, it saves and exits with 75, on Ctrl-C with 130 (a second one exits at once); a diverged run
exits with 70 and keeps the state before it; where RUN can no longer be written it exits with 74 and
names the other place where its state is kept. A second training into the same RUN is refused while
the first one is alive.

With TF_CONFIG it is one of several workers, each started with the same command: worker 0 writes
RUN, all log to RUN/logs/worker-N.log, and if one is lost the others exit with 76, for all of them
to be restarted. --local_workers=N does all this on one machine.
"""

from __future__ import annotations

import sys

from absl import flags

from preprocess.shell.cli import no_arguments, print_json, say
from preprocess.shell.errors import UsageError
from preprocess.shell.exit_codes import ExitCode
from preprocess.shell.path_flags import define_path, define_repeated_path
from preprocess.shell.process import process_started
from trainer.config.keys import Config

_DATA = define_repeated_path(
    "data",
    None,
    "Dataset directory, or gs://...; given several times, they are trained on together, in the "
    "shares of data.shares.",
    required=True,
)
_STAGE_TO = define_path(
    "stage_to", "", "Local directory to copy a dataset at gs://... to before it is read."
)
_WORKDIR = define_path("workdir", None, "Run directory to write.", required=True)
_CONFIG = define_path(
    "config", None, "Configuration: a file, the name of a preset, or an earlier RUN.", required=True
)
_FROM = define_path(
    "from",
    "",
    "RUN, RUN@best or RUN@STEP: a new run starts from this state of another one, with its weights "
    "and, of the same optimizer, its moments.",
)
_OVERRIDES = flags.DEFINE_multi_string(
    "override", [], "KEY=VALUE; what --config.KEY=VALUE is turned into."
)
_LOCAL_WORKERS = flags.DEFINE_integer(
    "local_workers",
    0,
    "Workers to start as processes of this machine; 0 = train in this one.",
    0,
    1024,
)
_MAX_RESTARTS = flags.DEFINE_integer(
    "max_restarts",
    3,
    "Faults of --local_workers that are retried; 75, 76 and SIGTERM are not counted.",
    0,
    1_000_000,
)
_PROFILE = flags.DEFINE_bool(
    "profile", False, "Trace ten calls for TensorBoard once this process is warm."
)
_STRICT = flags.DEFINE_bool(
    "strict",
    False,
    "Refuse to resume where a file of your own code (FILE.py:NAME in the configuration) has "
    "changed, or differs between workers, in place of a warning.",
)
_JSON = flags.DEFINE_bool("json", False, "Print report.json's content as one JSON object.")
_LOOK_INSIDE = (
    "To see which layer and which records were first not finite, run the same command again with "
    "--config.debug.check_numerics=true"
)


def main(arguments: list[str]) -> None:
    """Trains, reports, prints where things are."""
    no_arguments(arguments)
    from trainer.config import load_config

    pairs = [pair.partition("=")[::2] for pair in _OVERRIDES.value]
    if _PROFILE.value:
        pairs.append(("profile.on_start", "true"))
    config = load_config(_CONFIG.value, pairs)
    if _STAGE_TO.value and config.data.live:
        raise UsageError(
            "--stage_to with data.variants=live: the variants come to the dataset and not to its "
            "copy; omit --stage_to, or build them with `preprocess build --variants`"
        )
    if _LOCAL_WORKERS.value:
        from trainer.workers.supervisor.local_group import run_local_group
        from trainer.workers.worker_process import worker_command

        of_group = (_LOCAL_WORKERS.name, _MAX_RESTARTS.name)
        command = worker_command("train", __name__, of_group)
        sys.exit(run_local_group(command, _LOCAL_WORKERS.value, _MAX_RESTARTS.value))
    from trainer.workers.cluster import cluster_of_environment

    cluster = cluster_of_environment()
    from trainer.config.own_code import own_code
    from trainer.workers.signals import leave
    from trainer.workers.worker_process import work_and_leave

    if cluster is None:
        if own_code(config):  # the user's own may have something to do as Python ends
            _train(config, chief=True)
            return
        try:
            _train(config, chief=True)
        except SystemExit as ended:
            leave(int(ended.code or 0))
        leave(0)  # all is on the disk: what TensorFlow takes long to close is not waited for
    # Threads deep inside TensorFlow, waiting for a peer, would keep Python from ending.
    chief = cluster.rank == 0
    work_and_leave("train", lambda: _train(config, chief))


def _train(config: Config, chief: bool) -> None:
    from trainer.compat import quiet
    from trainer.workers import signals

    signals.leave_on_sigterm(say)
    quiet.silence()
    from trainer.config.trust import remember
    from trainer.data.staging import staged_sets
    from trainer.train import train
    from trainer.training.progress import FAILED, mark_ended
    from trainer.training.run_directory import RunDirectory
    from trainer.training.steps import Diverged

    if chief:
        remember(config)
    data = staged_sets(_DATA.value, _STAGE_TO.value, say)
    try:
        report = train(
            config,
            data,
            _WORKDIR.value,
            say,
            process_started(),
            origin=_FROM.value,
            strict=_STRICT.value,
        )
    except Diverged as error:
        if chief:
            mark_ended(RunDirectory(_WORKDIR.value).progress_file, FAILED)
        from trainer.training.starting_from import after_divergence

        way_on = after_divergence(_WORKDIR.value, _DATA.value[0], config, _DATA.value[1:])
        found = str(error)
        end = "\n" if "\n" in found else ". "  # after lines of their own
        say(f"trainer train: diverged: {found}{end}{way_on}")
        if not config.debug.check_numerics:
            say(_LOOK_INSIDE)
        sys.exit(ExitCode.DIVERGED)
    if not chief:
        return
    if _JSON.value:
        print_json(report)
        return
    from trainer.report.figures import verdict, what_to_do

    print(verdict(report))
    print("\n".join(what_to_do(report["bottleneck"])))
    print(f"{_WORKDIR.value}/report.html")
