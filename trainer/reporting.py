"""What a finished run leaves to be read and looked at: report.json, report.html, plots, model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from preprocess.dataset_format import TRIPLET
from trainer.evaluation import Evaluator, Outputs, figures, softmax, triplet_losses
from trainer.order import ReplicaSlice
from trainer.randomness import keyed
from trainer.reader import Reader
from trainer.report.confusion import confusion_figure
from trainer.report.history import history_figure
from trainer.report.page import render_page
from trainer.report.pictures import (
    ClassMistake,
    TripletMistake,
    augmented_batch,
    mistakes_sheet,
    png,
)
from trainer.report.style import figure_png
from trainer.run_directory import RunDirectory, write_text
from trainer.session import Session
from trainer.tensorboard import TensorBoardLog
from trainer.timing import verdict

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
) -> dict[str, Any]:
    """Writes everything and returns the content of report.json."""
    last = loop.history[-1] if loop.history else {}
    speeds = [row["images_per_second"] for row in loop.history if row.get("images_per_second")]
    report = {
        "steps": loop.step,
        "epochs": loop.epochs,
        "seconds": loop.seconds,
        "stopped": loop.stopped,
        "images_per_second": float(np.median(speeds)) if speeds else None,
        "metrics": {"last": last, "best": _best_row(loop)},
        "weights_digest": session.weights_digest(),
        "bottleneck": verdict(loop.history),
    }
    images = {"history": figure_png(history_figure(loop.history, directory.path.name))}
    images["augmented"] = png(_augmented(session, reader))
    for name, split in validation.items():
        outputs = Evaluator(session, split, session.config.validation_steps).outputs()
        images["mistakes"] = png(_mistakes(session, outputs, split, classes))
        if session.task.name != TRIPLET:
            matrix = figures(session, outputs, classes)["report"]["confusion"]
            images["confusion"] = figure_png(confusion_figure(np.asarray(matrix), classes))
        report["mistakes_split"] = name
        break  # the first split is the one that best, stopping and people watch
    if session.config.tensorboard.pictures:
        _to_tensorboard(images, loop.step, directory)
    for name, data in images.items():
        (directory.plots / f"{name}.png").write_bytes(data)
    config = directory.read_config()["config"]
    page = render_page(report, loop.history, images, config, directory.path.name)
    write_text(directory.page_file, page)
    # Without traces: the layers are ours and Keras's, and tracing takes longer than training
    # a small model. `trainer export` is for other people's processes.
    session.model.save(directory.model, save_format="tf", save_traces=False)
    write_text(directory.report_file, json.dumps(report, indent=2, sort_keys=True))
    return report


def _to_tensorboard(images: Mapping[str, bytes], step: int, directory: RunDirectory) -> None:
    with TensorBoardLog(str(directory.tensorboard), resume_step=step) as log:
        for name in ("augmented", "mistakes"):
            if name in images:
                log.picture(name, tf.io.decode_png(images[name], channels=3).numpy(), step)


def _best_row(loop: Loop) -> dict[str, Any]:
    found = [row for row in loop.history if row.get(loop.metric) == loop.best]
    return found[0] if found else {}


def _augmented(session: Session, reader: Reader) -> Any:
    """The first batch as it is stored, and as the backbone sees it in training."""
    batch = next(iter(reader.dataset(0, ReplicaSlice(), 1)))
    rows = max(1, SHOWN_PICTURES // reader.pictures_a_record)
    stored = batch["image"][:rows]
    if session.task.name == TRIPLET:
        stored = tf.reshape(stored, [-1, *stored.shape[2:]])
    with keyed(session.config.seed, 0, batch["row"][:rows], session.config.batch_size):
        seen = session.task.pixels(session.augmentation, stored, augment=True)
    return augmented_batch(stored.numpy(), seen.numpy())


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
