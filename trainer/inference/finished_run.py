"""What a finished run leaves to be read and looked at: report.json, report.html, plots, model."""

from __future__ import annotations

import contextlib
import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from preprocess.shell.atomic import write_text
from preprocess.shell.cli import say
from preprocess.shell.json_text import JsonObject, json_text
from trainer.bottleneck.intervals import RunFacts
from trainer.bottleneck.loop_verdict import loop_verdict
from trainer.bottleneck.run_caveats import with_caveats
from trainer.bottleneck.run_verdict import run_verdict
from trainer.bottleneck.sentences import as_json
from trainer.bottleneck.trace import Explanation, explain_run, refined
from trainer.data.reader import Reader
from trainer.data.sets import sets_in_words
from trainer.models.layer_rows import layer_rows
from trainer.models.randomness import keyed
from trainer.monitoring.cores import available_cores
from trainer.monitoring.memory import limit_bytes
from trainer.monitoring.metric_rows import typical
from trainer.monitoring.tensorboard_log import TensorBoardLog
from trainer.monitoring.time_account import Attempt, account, read_attempts
from trainer.report.contact_sheets import augmented_batch, mistakes_sheet
from trainer.report.curves import VALIDATION
from trainer.report.further import further_section
from trainer.report.history import history_figure, parts_figure
from trainer.report.layer_table import layers_section
from trainer.report.page import Section, render_page
from trainer.report.sheet import png
from trainer.report.step_bar import step_bar_figure, step_shares
from trainer.report.style import figure_png
from trainer.report.timeline_figure import timeline_figure
from trainer.tasks.outputs import Outputs
from trainer.tasks.task import Task
from trainer.training.run_directory import RunDirectory
from trainer.training.training_run import Run
from trainer.workers import devices

if TYPE_CHECKING:
    from trainer.training.loop import Loop

SHOWN_PICTURES = 16
SHOWN_MISTAKES = 12


def write_report(run: Run, loop: Loop, log: TensorBoardLog) -> JsonObject:
    """Writes everything and returns the content of report.json.

    It holds the task's details too, with the split that they are of: `classification` what
    classification_report() gives; `report_card` for triplets.
    """
    task, last = run.session.task, loop.history[-1] if loop.history else {}
    speed, step_ms = (typical(loop.history, name) for name in ("images_per_second", "step_ms"))
    a_call = run.config.steps_per_execution
    workers = _attempts(run.directory)
    spent = account(workers[0]) if workers.get(0) else None
    bottleneck = refined(loop_verdict(loop.history), _trace(run.directory), step_ms * a_call)
    if spent is not None:
        bottleneck = run_verdict(bottleneck, spent, _facts(run, loop, speed, step_ms), loop.history)
    report: JsonObject = {
        "steps": loop.steps.done,
        "epochs": loop.epochs,
        "seconds": loop.steps.seconds,
        "stopped": loop.stopped,
        "images_per_second": speed if math.isfinite(speed) else None,
        "metrics": {"last": last, "best": _best_row(loop)},
        "chance": task.kind.chance,
        "weights_digest": run.session.weights_digest(),
        "bottleneck": as_json(with_caveats(bottleneck, loop.history)),
        "time": None if spent is None else spent.as_json(),
    }
    if described := sets_in_words(run.config.data, run.sets):
        report["sets"] = described
    if run.reader.live and run.reader.live.reused:
        report["reused_variants"] = run.reader.live.reused_passes(
            -(-loop.steps.done // run.reader.steps_per_pass)
        )
    first = next(iter(run.validation), VALIDATION)
    curves = history_figure(loop.history, run.directory.path.name, first, task.kind.chance)
    images = {"history": figure_png(curves)}
    if names := task.kind.part_figures:
        images["parts"] = figure_png(parts_figure(loop.history, names, first))
    drawn: dict[str, bytes] = {}
    sections: list[Section] = []
    if shares := step_shares(report["bottleneck"], loop.history):
        images["step"] = figure_png(step_bar_figure(shares, step_ms))
    timeline = timeline_figure(workers)
    if timeline is not None:
        images["timeline"] = figure_png(timeline)
    images["augmented"] = png(_augmented(run))
    # The first split is the one that best, stopping and people watch.
    for name, split in list(run.validation.items())[:1]:
        outputs = loop.validation.outputs(name)
        mistakes = _mistakes(task, outputs, split)
        images["mistakes"] = png(mistakes)
        if run.config.tensorboard.pictures:
            log.picture("mistakes", mistakes, loop.steps.done)
        details = report[task.detail] = {"split": name, **task.details(outputs, split)}
        drawn = {key: figure_png(figure) for key, figure in task.drawings(details).items()}
        sections = task.sections(details, drawn)
        if further := task.measured_names:
            best = report["metrics"]["best"]
            sections = [further_section(further, last, best, name), *sections]
        report["mistakes_split"] = name
        report["baseline"] = task.baseline(outputs)
    if described:
        sections.append(Section("Training sets", lines=described))
    sections.append(layers_section(layer_rows(run.session.model)))
    run.directory.plots.mkdir(exist_ok=True)
    for name, data in {**images, **drawn}.items():
        (run.directory.plots / f"{name}.png").write_bytes(data)
    config = run.directory.read_config()["config"]
    title = run.directory.path.name
    page = render_page(report, loop.history, images, config, title, sections)
    write_text(run.directory.page_file, page)
    save_model(run)
    write_text(run.directory.report_file, json_text(report, indent=2))
    return report


def save_model(run: Run) -> None:
    """RUN/model.

    Without traces: the layers are ours and Keras's, and tracing takes longer than training a small
    model. `trainer export` is for other people's processes.
    """
    run.session.model.save(run.directory.model, save_format="tf", save_traces=False)


def start_log(log: TensorBoardLog, run: Run, step: int) -> None:
    """What TensorBoard shows from the start: the augmented batch."""
    if step == 0 and run.config.tensorboard.pictures:
        log.picture("augmented", _augmented(run), step)


def _trace(directory: RunDirectory) -> Explanation | None:
    """What the run's trace says; a report is written without one too."""
    try:
        return explain_run(directory.path)
    except Exception as error:  # most of the reading is TensorFlow's, of files it may not know
        say(f"warning: the trace of this run cannot be explained: {error}")
        return None


def _facts(run: Run, loop: Loop, speed: float, step_ms: float) -> RunFacts:
    on_cpu = not devices.gpus_of(run.session.strategy)
    validation = run.config.validation
    replicas = run.session.strategy.num_replicas_in_sync // run.workers.size
    follower = run.reader.live.follower() if run.reader.live else None
    return RunFacts(
        step_seconds=step_ms / 1000,
        save_every=run.config.checkpoint.every_steps,
        cpu_replicas=replicas if on_cpu else 0,
        cores=available_cores(),
        workers=run.workers.on_these_cores,
        table=bool(run.reader.table),
        images_per_second=speed,
        steps=loop.steps.done,
        epochs=loop.epochs,
        validate_epochs=0 if validation.every_steps else validation.every_epochs,
        validate_steps=validation.every_steps,
        steps_per_pass=run.reader.steps_per_pass,
        shards=len(run.reader.live[0]) if run.reader.live else 0,
        follower_workers=follower.workers if follower else 0,
        variant_seconds=follower.seconds if follower else 0.0,
        replicas_divide=run.config.batch_size // (2 if run.session.mixers else 1),
        dataset_bytes=sum(each.bytes_read(run.config) for each in run.sets),
        memory_limit=limit_bytes(),
    )


def _attempts(directory: RunDirectory) -> dict[int, list[Attempt]]:
    """What the timelines hold by now, by rank."""
    found = {}
    for path in directory.timeline.glob("worker-*.jsonl"):
        with contextlib.suppress(OSError, ValueError):
            found[int(path.stem.partition("-")[2])] = read_attempts(path, now=time.time())
    return found


def _best_row(loop: Loop) -> JsonObject:
    found = [row for row in loop.history if row.get(loop.metric) == loop.best]
    return found[0] if found else {}


def _augmented(run: Run) -> Any:
    """The first batch as it is stored, and as the backbone sees it in training."""
    session, reader = run.session, run.reader
    rows = min(max(1, SHOWN_PICTURES // reader.pictures_a_record), reader.batch_size)
    stored = reader.first_pictures(rows)
    rows = len(stored)
    pictures = stored.reshape(-1, *stored.shape[-3:])
    with keyed(run.config.seed, 0, tf.range(rows), reader.batch_size):
        mixture = session.mixture(tf.ones([rows]))
        mix = mixture.pictures if mixture else None
        seen = session.task.pixels(
            session.augmentation, tf.constant(pictures), augment=True, mix=mix
        )
    return augmented_batch(pictures, seen.numpy())


def _mistakes(task: Task, outputs: Outputs, reader: Reader) -> Any:
    """The worst first: the records whose loss is highest among those got wrong."""
    wrong = task.wrong(outputs)
    worst = [i for i in np.argsort(-task.losses(outputs)) if wrong[i]][:SHOWN_MISTAKES]
    pictures = reader.pictures([int(outputs.records[i]) for i in worst]) if worst else []
    return mistakes_sheet(
        [task.mistake(outputs, i, each) for i, each in zip(worst, pictures, strict=True)]
    )
