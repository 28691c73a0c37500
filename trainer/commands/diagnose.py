r"""Measures where a training step's time goes, and says which part to change.

    python -m trainer diagnose --config=trainer/configs/NAME.py --data=DATASET \
        [--config.KEY=VALUE ...] [--apply=N] [--local_workers=N] [--picture=FILE.png]
    python -m trainer diagnose --trace=RUN

Runs short phases of the real configuration, a minute or so: reading, parsing, decoding, putting
batches together, bringing them to the devices, the on-device layers, the step on a resident
batch, each replica alone, training as it is. Prints what each costs, which stage binds, and what
to change, the largest predicted gain first. It trains nothing that is kept and touches no run.

--apply=N makes the first change that leaves what is learned as it is, measures again and shows
what was predicted beside it, N times. --trace explains a trace that a run has left, instead of
measuring.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from trainer.cli import no_arguments, print_json, say
from trainer.errors import OutputError, UsageError

if TYPE_CHECKING:
    from trainer.diagnosis.run import Applied, Diagnosis

_DATA = flags.DEFINE_string("data", "", "Dataset directory, or gs://...")
_CONFIG = flags.DEFINE_string("config", "", "Configuration: a file, or the name of a preset.")
_OVERRIDES = flags.DEFINE_multi_string(
    "override", [], "KEY=VALUE; what --config.KEY=VALUE is turned into."
)
_APPLY = flags.DEFINE_integer("apply", 0, "How many changes to make, one after another.", 0)
_LOCAL_WORKERS = flags.DEFINE_integer(
    "local_workers", 0, "Workers to start as processes of this machine; 0 = measure this one.", 0
)
_ROUNDS = flags.DEFINE_integer("rounds", 3, "How often each phase is measured.", 1)
_SECONDS = flags.DEFINE_float("seconds", 1.2, "How long, each time; more on a noisy machine.", 0.1)
_PICTURE = flags.DEFINE_string("picture", "", "PNG file to draw a step in.")
_TRACE = flags.DEFINE_string("trace", "", "A RUN, or the file or folder of a trace, to explain.")
_JSON = flags.DEFINE_bool("json", False, "Print one JSON object.")


def main(arguments: list[str]) -> None:
    """Measures, or explains a trace."""
    no_arguments(arguments)
    if _TRACE.value:
        _explain(_TRACE.value)
        return
    if not _CONFIG.value or not _DATA.value:
        raise UsageError("give --config and --data to measure, or --trace to explain a trace")
    if _PICTURE.value and not Path(_PICTURE.value).absolute().parent.is_dir():
        raise UsageError(f"--picture='{_PICTURE.value}': there is no such folder")
    from trainer.config import load_config

    config = load_config(_CONFIG.value, [pair.partition("=")[::2] for pair in _OVERRIDES.value])
    if _LOCAL_WORKERS.value:
        from trainer.gang import run_gang
        from trainer.worker_process import worker_command

        command = worker_command("diagnose", __name__, [_LOCAL_WORKERS.name])
        sys.exit(run_gang(command, _LOCAL_WORKERS.value, max_restarts=0))
    from trainer.cluster import cluster_of_environment

    if cluster_of_environment() is None:
        _diagnose(config)
        return
    from trainer.gang import end_with_parent
    from trainer.signals import leave
    from trainer.worker_process import exit_code

    end_with_parent()
    # Threads deep inside TensorFlow, waiting for a peer, would keep Python from ending.
    leave(exit_code("diagnose", lambda: _diagnose(config)))


def _diagnose(config: Any) -> None:
    from trainer import quiet

    quiet.silence()
    from trainer.diagnosis import words
    from trainer.diagnosis.run import Diagnoser
    from trainer.steps import EXIT_DIVERGED, Diverged

    diagnoser = Diagnoser(config, _DATA.value, say, _ROUNDS.value, _SECONDS.value)
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
            noise = max(each.found.full.spread for each in (last, change.after))
            shown(f"\n{words.applied(change.advice, last.speed, change.after.speed, noise)}\n")
            last = change.after
            shown(_text(last))
    except Diverged as error:
        rate = config.optimizer.learning_rate
        say(f"trainer diagnose: diverged: {error}; lower optimizer.learning_rate={rate:g}")
        sys.exit(EXIT_DIVERGED)
    diagnoser.leave()
    if not diagnoser.chief:
        return
    if _JSON.value:
        print_json(_as_json(first, changes))
    if _PICTURE.value:
        _draw(last)


def _text(diagnosis: Diagnosis) -> str:
    from trainer.diagnosis import words

    model, found = diagnosis.model, diagnosis.found
    parts = (
        words.table(model, found),
        [words.verdict(model, found), *words.doubts(model, found)],
        words.advised(diagnosis.advice, model),
    )
    return "\n\n".join("\n".join(lines) for lines in parts)


def _as_json(first: Diagnosis, changes: list[Applied]) -> dict[str, Any]:
    """`bottleneck` as report.json has it, `images_per_second`, `phases`, `advice`, `applied`."""
    from trainer.diagnosis import words

    return {
        **words.as_json(first.model, first.found, first.advice),
        "applied": [
            {
                "change": dict(change.advice.change),
                "predicted": change.advice.images_per_second,
                **words.as_json(change.after.model, change.after.found, change.after.advice),
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
    from trainer import quiet

    quiet.silence()
    from trainer.trace import bottleneck, explain, lines

    explanation = explain(path)
    if _JSON.value:
        print_json({"bottleneck": bottleneck(explanation)})
    else:
        print("\n".join(lines(explanation)))
