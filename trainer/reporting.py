"""What a finished run leaves to be read and looked at: report.json, report.html, plots, model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from preprocess.dataset_format import TRIPLET
from trainer.cli import say
from trainer.evaluation import (
    Outputs,
    figures,
    softmax,
    triplet_card,
    triplet_losses,
)
from trainer.json_text import json_text
from trainer.randomness import keyed
from trainer.reader import Reader
from trainer.remarks import remarked
from trainer.report.card import card_figure
from trainer.report.confusion import confusion_figure
from trainer.report.curves import VALIDATION, typical
from trainer.report.history import history_figure
from trainer.report.page import render_page
from trainer.report.pictures import (
    ClassMistake,
    TripletMistake,
    augmented_batch,
    mistakes_sheet,
)
from trainer.report.sheet import png
from trainer.report.step_bar import step_bar_figure, step_shares
from trainer.report.style import figure_png
from trainer.run_directory import RunDirectory, write_text
from trainer.session import Session
from trainer.tensorboard import TensorBoardLog
from trainer.timing import verdict
from trainer.trace import Explanation, explain_run, joined

if TYPE_CHECKING:
    from trainer.loop import Loop

SHOWN_PICTURES = 16
SHOWN_MISTAKES = 12


def write_report(
    session: Session,
    loop: Loop,
    reader: Reader,
    validation: Mapping[str, Reader],
    classes: tuple[str, ...],
    directory: RunDirectory,
    log: TensorBoardLog,
) -> dict[str, Any]:
    """Writes everything and returns the content of report.json.

    For classes it holds `classification` too: the split and what classification_report() gives;
    for triplets `report_card`: the split and what report_card() gives.
    """
    last = loop.history[-1] if loop.history else {}
    speed, step_ms = (typical(loop.history, name) for name in ("images_per_second", "step_ms"))
    a_call = session.config.steps_per_execution
    report: dict[str, Any] = {
        "steps": loop.steps.done,
        "epochs": loop.epochs,
        "seconds": loop.steps.seconds,
        "stopped": loop.stopped,
        "images_per_second": speed if math.isfinite(speed) else None,
        "metrics": {"last": last, "best": _best_row(loop)},
        "weights_digest": session.weights_digest(),
        "bottleneck": remarked(
            joined(verdict(loop.history), _trace(directory), step_ms * a_call), loop.history
        ),
    }
    first = next(iter(validation), VALIDATION)
    images = {"history": figure_png(history_figure(loop.history, directory.path.name, first))}
    if shares := step_shares(report["bottleneck"], loop.history):
        images["step"] = figure_png(step_bar_figure(shares, step_ms))
    images["augmented"] = png(_augmented(session, reader))
    # The first split is the one that best, stopping and people watch.
    for name, split in list(validation.items())[:1]:
        outputs = loop.validation.outputs(name)
        mistakes = _mistakes(session, outputs, split, classes)
        images["mistakes"] = png(mistakes)
        if session.config.tensorboard.pictures:
            log.picture("mistakes", mistakes, loop.steps.done)
        if session.task.name == TRIPLET:
            card = triplet_card(outputs, split)
            report["report_card"] = {"split": name, **card}
            images["card"] = figure_png(card_figure(card))
        else:
            found = figures(session, outputs, classes)["report"]
            report["classification"] = {"split": name, **found}
            matrix = np.asarray(found["confusion"])
            images["confusion"] = figure_png(confusion_figure(matrix, classes))
        report["mistakes_split"] = name
    directory.plots.mkdir(exist_ok=True)
    for name, data in images.items():
        (directory.plots / f"{name}.png").write_bytes(data)
    config = directory.read_config()["config"]
    page = render_page(report, loop.history, images, config, directory.path.name)
    write_text(directory.page_file, page)
    # Without traces: the layers are ours and Keras's, and tracing takes longer than training
    # a small model. `trainer export` is for other people's processes.
    session.model.save(directory.model, save_format="tf", save_traces=False)
    write_text(directory.report_file, json_text(report, indent=2))
    return report


def start_log(log: TensorBoardLog, session: Session, reader: Reader, step: int) -> None:
    """What TensorBoard shows from the start: the model's graph and the augmented batch."""
    wanted = session.config.tensorboard
    if step == 0 and wanted.graph:
        size = session.config.image_size
        pictures = tf.TensorSpec([1, size, size, session.config.model.channels], tf.float32)
        log.graph(tf.function(lambda x: session.model(x, training=False)), pictures)
    if step == 0 and wanted.pictures:
        log.picture("augmented", _augmented(session, reader), step)


def _trace(directory: RunDirectory) -> Explanation | None:
    """What the run's trace says; a report is written without one too."""
    try:
        return explain_run(directory.path)
    except Exception as error:  # most of the reading is TensorFlow's, of files it may not know
        say(f"warning: the trace of this run cannot be explained: {error}")
        return None


def _best_row(loop: Loop) -> dict[str, Any]:
    found = [row for row in loop.history if row.get(loop.metric) == loop.best]
    return found[0] if found else {}


def _augmented(session: Session, reader: Reader) -> Any:
    """The first batch as it is stored, and as the backbone sees it in training."""
    rows = min(max(1, SHOWN_PICTURES // reader.pictures_a_record), reader.batch_size)
    stored = reader.first_pictures(rows)
    rows = len(stored)
    pictures = stored.reshape(-1, *stored.shape[-3:])
    with keyed(session.config.seed, 0, tf.range(rows), reader.batch_size):
        seen = session.task.pixels(session.augmentation, tf.constant(pictures), augment=True)
    return augmented_batch(pictures, seen.numpy())


def _mistakes(session: Session, outputs: Outputs, reader: Reader, classes: tuple[str, ...]) -> Any:
    """The worst first: the records whose loss is highest among those got wrong."""
    if session.task.name == TRIPLET:
        odd = outputs.targets.argmax(-1)
        # Column i of the reversed distances is that of the two pictures other than i: where
        # that is the smallest, the model takes i for the odd one.
        chosen = outputs.values[:, ::-1].argmin(-1)
        wrong = (chosen != odd) & (outputs.targets.max(-1) > 0.5)
        losses = triplet_losses(outputs.values, outputs.targets, session.task.delta)
    else:
        chosen = outputs.values.argmax(-1)
        odd = outputs.targets
        wrong = chosen != odd
        probabilities = softmax(outputs.values)
        losses = -np.log(np.maximum(probabilities[np.arange(len(odd)), odd], 1e-300))
    worst = [i for i in np.argsort(-losses) if wrong[i]][:SHOWN_MISTAKES]
    pictures = reader.pictures([int(outputs.records[i]) for i in worst]) if worst else []
    items: list[Any] = []
    for i, picture in zip(worst, pictures, strict=True):
        if session.task.name == TRIPLET:
            items.append(
                TripletMistake(
                    pictures=list(picture),
                    votes=outputs.targets[i].tolist(),
                    distances=outputs.values[i].tolist(),
                )
            )
        else:
            items.append(
                ClassMistake(
                    picture=picture,
                    true=classes[odd[i]],
                    predicted=classes[chosen[i]],
                    probability=float(probabilities[i, chosen[i]]),
                )
            )
    return mistakes_sheet(items)
