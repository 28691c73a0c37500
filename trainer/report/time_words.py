"""Where the time of a run went, as lines and as the rows of a table."""

from __future__ import annotations

from trainer.monitoring.time_account import BETWEEN, HOST, INPUT_WAIT, REDONE, RunTime
from trainer.monitoring.timeline import Activity
from trainer.report.figures import duration, percent

# In the order of a run; the steps that were kept come first, as they are what it is for.
KIND_TEXTS = {
    Activity.STEPS.value: "steps that were kept: the devices",
    HOST: "steps that were kept: Python between them",
    INPUT_WAIT: "steps that were kept: waiting for input",
    Activity.VARIANT.value: "waiting for the next variant",
    REDONE: "steps that had to be done again",
    Activity.START.value: "starting and imports",
    Activity.PEERS.value: "waiting for the other workers",
    Activity.BUILD.value: "building the model and the readers",
    Activity.RESTORE.value: "reading the saved state",
    Activity.TABLE.value: "the image table, or the first batch",
    Activity.COMPILE.value: "tracing and compiling the first step",
    Activity.VALIDATION.value: "validation",
    Activity.SAVING.value: "saving: the copies that are written during steps",
    Activity.WRITING.value: "saving: waiting until a state is on the disk",
    Activity.CALLBACKS.value: "TensorBoard, metrics, figures of an epoch",
    Activity.PROFILER.value: "writing traces",
    Activity.CLOSING.value: "ending the steps",
    Activity.REPORT.value: "the report",
    BETWEEN: "between two attempts",
}


def headline(time: RunTime) -> str:
    """`3 min 10 s in 2 attempts, goodput 62.1 %`, and the steps that were done again."""
    attempts = "1 attempt" if time.attempts == 1 else f"{time.attempts} attempts"
    line = f"{duration(time.wall_seconds)} in {attempts}, goodput {percent(time.goodput)}"
    if time.redone_steps:
        line += f"; {time.redone_steps:,} steps were done again"
    return line


def rows(time: RunTime) -> list[tuple[str, str, str]]:
    """(what, how long, share of the time) of all that there was, in the order of a run."""
    return [
        (text, duration(time.seconds[kind]), percent(time.seconds[kind] / time.wall_seconds))
        for kind, text in KIND_TEXTS.items()
        if time.seconds.get(kind)
    ]


def lines(time: RunTime) -> list[str]:
    """The same for a terminal."""
    table = rows(time)
    width = max((len(text) for text, _, _ in table), default=0)
    return [
        headline(time),
        *(f"  {text:<{width}}  {long:>12}  {share:>7}" for text, long, share in table),
    ]
