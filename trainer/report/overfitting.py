"""Over-fitting read from the curves, as a sentence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trainer.monitoring.metric_rows import Row, accuracy_name, column
from trainer.report.figures import percent

# Epochs below which a curve says nothing about where it is going.
LEAST_EPOCHS = 3
# The validation loss must have risen by this share over its best to be called a rise: an
# epoch's loss wobbles by a per cent or two by itself.
RISE = 0.05
# Epochs at the end that are judged together (by their median: one that leaps says nothing), and
# by how much the loss must have fallen over them to be called falling.
LAST_EPOCHS = 3
FALL = 0.01
# By how much the training loss must have fallen since the best epoch, LAST_EPOCHS or more ago,
# to say that what is still learned does not carry over. Embeddings on a sphere have a bounded
# loss: there over-fitting shows as this, and never as a steep rise.
ALONE = 0.2


def reading(history: Sequence[Row]) -> str:
    """What the loss curves say, in a sentence or two: over-fitting, still learning, level.

    Judged on `loss` and `val_loss` of the rows. The height of the gap between the two is not:
    dropout and augmentation make training harder than validation, so only the way the curves
    go is read.
    """
    training, validation = column(history, "loss"), column(history, "val_loss")
    epochs, trained = column(history, "epoch"), np.isfinite(training)
    # A validation within an epoch has no training loss of its own: it lies between its neighbours'.
    within = np.array(["loss" not in row for row in history], dtype=bool)
    if trained.any() and within.any():
        training[within] = np.interp(epochs[within], epochs[trained], training[trained])
    both = np.isfinite(training) & np.isfinite(validation)
    epochs, training, validation = epochs[both], training[both], validation[both]
    if len(validation) < LEAST_EPOCHS:
        return (
            f"Too few epochs with a validation loss ({len(validation)}) to read over-fitting from."
        )
    best = int(np.argmin(validation))
    # Of the last epochs those after the best; where the best is the last, that one.
    last = slice(min(max(best + 1, len(validation) - LAST_EPOCHS), len(validation) - 1), None)
    rise = np.median(validation[last]) / validation[best] - 1 if validation[best] > 0 else 0.0
    if rise > RISE:
        text = (
            f"The validation loss was lowest at epoch {epochs[best]:g} and is {rise:.0%} higher "
            f"{_span(epochs[last])}"
        )
        if np.median(training[last]) >= training[best]:
            return f"{text}; the training loss rose too: the learning rate may be too high."
        accuracy = column(history, f"val_{accuracy_name(history)}")[both]
        return (
            f"Over-fitting: {_lower_first(text)}, while the training loss kept falling. "
            f"{_accuracy(accuracy[best], float(np.median(accuracy[last])))}"
            "Stop earlier (early_stopping.patience), use the best checkpoint, "
            "or augment more."
        )
    if _still_falling(validation, best):
        return (
            f"The validation loss is still falling at epoch {epochs[-1]:g}: "
            "more epochs are likely to help."
        )
    alone = 1 - np.median(training[last]) / training[best] if training[best] > 0 else 0.0
    if alone > ALONE and best < len(validation) - LAST_EPOCHS:
        return (
            f"Over-fitting without harm: the validation loss has levelled off (lowest at epoch "
            f"{epochs[best]:g}), and the training loss alone fell by another {alone:.0%}. What is "
            "still learned does not carry over: augment more, or stop earlier."
        )
    return (
        f"The validation loss has levelled off (lowest at epoch {epochs[best]:g}); "
        "no over-fitting to be seen."
    )


def _still_falling(validation: np.ndarray, best: int) -> bool:
    """Whether the last epochs lie below those before them, and hold the lowest.

    Of a history too short for that: whether it ends at its lowest.
    """
    recent, before = validation[-LAST_EPOCHS:], validation[-2 * LAST_EPOCHS : -LAST_EPOCHS]
    if len(before) == LAST_EPOCHS:
        lower = np.median(recent) < (1 - FALL) * np.median(before)
        return bool(lower and best >= len(validation) - LAST_EPOCHS)
    return bool(best == len(validation) - 1 and recent[0] - recent[-1] > FALL * recent[0])


def _span(epochs: np.ndarray) -> str:
    if len(epochs) == 1:
        return f"at epoch {epochs[0]:g}"
    return f"over epochs {epochs[0]:g} to {epochs[-1]:g}"


def _accuracy(then: float, now: float) -> str:
    """What the accuracy did meanwhile: a loss can rise by wrong answers growing surer alone."""
    if not np.isfinite([then, now]).all():
        return ""
    told = f"{percent(then)} then, {percent(now)} now"
    if now >= then:
        return f"The accuracy did not fall with it ({told}): wrong answers have grown surer. "
    return f"The accuracy fell too ({told}). "


def _lower_first(text: str) -> str:
    return text[0].lower() + text[1:]
