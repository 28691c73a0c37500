r"""Measures where a training step's time goes, and which part to change.

    python -m trainer diagnose --config=trainer/configs/NAME.py --data=DATASET \
        [--config.KEY=VALUE ...] [--apply=N] [--local_workers=N] [--picture=FILE.png]
    python -m trainer diagnose --trace=RUN

Runs short phases of the real configuration, about a minute: reading, parsing, decoding, assembling
batches, copying them to the devices, the on-device layers, the step on a resident batch, each
replica alone, training as it is. Prints the cost of each, which stage binds, and what to change,
the largest predicted gain first. Nothing trained is kept, and no run is touched. Of a configuration
with stages, the last one is measured.

--apply=N makes the first change that leaves what is learned unchanged, measures again and compares
with the prediction, N times. --trace explains the trace of a run instead of measuring.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from preprocess.shell.cli import no_arguments, print_json, say
from preprocess.shell.errors import OutputError, UsageError
from preprocess.shell.exit_codes import ExitCode
from preprocess.shell.json_text import JsonObject
from preprocess.shell.path_flags import define_path, define_repeated_path
from trainer.config.keys import Config

if TYPE_CHECKING:
    from trainer.bottleneck.phases.diagnoser import Applied, Diagnosis

_DATA = define_repeated_path("data", [], "Dataset directory, or gs://...; a single one.")
_CONFIG = define_path(
    "config", "", "Configuration: a file, the name of a preset, or an earlier RUN."
)
_OVERRIDES = flags.DEFINE_multi_string(
    "override", [], "KEY=VALUE; what --config.KEY=VALUE is turned into."
)
_APPLY = flags.DEFINE_integer("apply", 0, "How many changes to make, one after another.", 0, 100)
_LOCAL_WORKERS = flags.DEFINE_integer(
    "local_workers",
    0,
    "Workers to start as processes of this machine; 0 = measure this one.",
    0,
    1024,
)
_ROUNDS = flags.DEFINE_integer("rounds", 3, "How often each phase is measured.", 1, 1000)
_SECONDS = flags.DEFINE_float(
    "seconds", 1.2, "How long, each time; more on a noisy machine.", 0.1, 600
)
_PICTURE = define_path("picture", "", "PNG file to draw a step in.")
_TRACE = define_path("trace", "", "A RUN, or the file or folder of a trace, to explain.")
_JSON = flags.DEFINE_bool("json", False, "Print one JSON object.")


def main(arguments: list[str]) -> None:
    """Measures, or explains a trace."""
    no_arguments(arguments)
    if _TRACE.value:
        _explain(_TRACE.value)
        return
    if not _CONFIG.value or not _DATA.value:
        raise UsageError("give --config and --data to measure, or --trace to explain a trace")
    if len(_DATA.value) > 1:
        raise UsageError(
            f"--data is given {len(_DATA.value)} times: diagnose measures one set; give that one "
            "which is read from the slowest storage or has the largest pictures"
        )
    if _PICTURE.value and not Path(_PICTURE.value).absolute().parent.is_dir():
        raise UsageError(f"--picture='{_PICTURE.value}': there is no such folder")
    from trainer.config import load_config

    config = load_config(_CONFIG.value, [pair.partition("=")[::2] for pair in _OVERRIDES.value])
    if _LOCAL_WORKERS.value:
        from trainer.workers.supervisor.local_group import run_local_group
        from trainer.workers.worker_process import worker_command

        command = worker_command("diagnose", __name__, [_LOCAL_WORKERS.name])
        sys.exit(run_local_group(command, _LOCAL_WORKERS.value, max_restarts=0))
    from trainer.workers.cluster import cluster_of_environment

    if cluster_of_environment() is None:
        _diagnose(config)
        return
    from trainer.workers.worker_process import work_and_leave

    # Threads deep inside TensorFlow, waiting for a peer, would keep Python from ending.
    work_and_leave("diagnose", lambda: _diagnose(config))


def _diagnose(config: Config) -> None:
    from trainer.compat import quiet

    quiet.silence()
    from trainer.bottleneck.phases.diagnoser import Diagnoser
    from trainer.bottleneck.phases.phase_table import applied
    from trainer.config.training_stages import last_stage
    from trainer.training.steps import Diverged

    config = last_stage(config)
    diagnoser = Diagnoser(config, _DATA.value[0], say, _ROUNDS.value, _SECONDS.value)
    shown = print if diagnoser.chief and not _JSON.value else lambda *_: None
    changes: list[Applied] = []
    try:
        first = last = diagnoser.diagnose(config)
        shown(_text(first))
        for _ in range(_APPLY.value):
            done = diagnoser.apply(config, last)
            if done is None:
                other = "other " if changes else ""
                shown(
                    f"\n--apply: of the advice there is no {other}change of the configuration that "
                    "leaves what is learned as it is; the rest is yours to decide"
                )
                break
            config, change = done
            changes.append(change)
            noise = max(one.measured.full.spread for one in (last, change.after))
            shown(f"\n{applied(change.advice, last.speed, change.after.speed, noise)}\n")
            last = change.after
            shown(_text(last))
    except Diverged as error:
        rate = config.optimizer.learning_rate
        say(f"trainer diagnose: diverged: {error}; lower optimizer.learning_rate={rate:g}")
        sys.exit(ExitCode.DIVERGED)
    diagnoser.leave()
    if not diagnoser.chief:
        return
    if _JSON.value:
        print_json(_as_json(first, changes))
    if _PICTURE.value:
        _draw(last)


def _text(diagnosis: Diagnosis) -> str:
    from trainer.bottleneck import sentences
    from trainer.bottleneck.phases.phase_table import numbered, table

    bottleneck = diagnosis.bottleneck
    parts = (
        table(diagnosis.model, diagnosis.measured),
        [sentences.verdict(bottleneck), *sentences.caveats(bottleneck)],
        numbered(bottleneck.advice),
    )
    return "\n\n".join("\n".join(lines) for lines in parts)


def _as_json(first: Diagnosis, changes: list[Applied]) -> JsonObject:
    """What diagnosis_json() has of the first diagnosis, and `applied`: the same after a change."""
    from trainer.bottleneck.phases.diagnosis_json import diagnosis_json

    def plain(diagnosis: Diagnosis) -> JsonObject:
        return diagnosis_json(diagnosis.bottleneck, diagnosis.model, diagnosis.measured)

    return {
        **plain(first),
        "applied": [
            {
                "change": change.advice.change,
                "predicted": change.advice.images_per_second,
                **plain(change.after),
            }
            for change in changes
        ],
    }


def _draw(diagnosis: Diagnosis) -> None:
    from trainer.report.step_bar import step_bar_figure
    from trainer.report.style import figure_png

    figure = step_bar_figure(diagnosis.model.shares, 1000 * diagnosis.model.full)
    try:
        Path(_PICTURE.value).write_bytes(figure_png(figure))
    except OSError as error:
        raise OutputError(f"--picture='{_PICTURE.value}': {error.strerror}") from None


def _explain(path: str) -> None:
    from trainer.compat import quiet

    quiet.silence()
    from trainer.bottleneck.sentences import as_json
    from trainer.bottleneck.trace import explain, lines, trace_verdict

    explanation = explain(path)
    if _JSON.value:
        print_json({"bottleneck": as_json(trace_verdict(explanation))})
    else:
        print("\n".join(lines(explanation)))
