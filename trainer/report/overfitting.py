"""Over-fitting read from the curves, in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trainer.report.curves import Row, column

# Epochs below which a curve says nothing about where it is going.
LEAST_EPOCHS = 3
# The validation loss must have risen by this share over its best to be called a rise: an
# epoch's loss wobbles by a per cent or two by itself.
RISE = 0.05
# Epochs at the end over which "still falling" is judged, and by how much it must have fallen.
LAST_EPOCHS = 3
FALL = 0.01


def reading(history: Sequence[Row]) -> str:
    """What the loss curves say, in a sentence or two: over-fitting, still learning, level.

    Judged on `loss` and `val_loss` of the rows. The height of the gap between the two is not:
    dropout and augmentation make training harder than validation, so only the way the curves
    go is read.
    """
    training, validation = column(history, "loss"), column(history, "val_loss")
    both = np.isfinite(training) & np.isfinite(validation)
    epochs = column(history, "epoch")[both]
    training, validation = training[both], validation[both]
    if len(validation) < LEAST_EPOCHS:
        return (
            f"Too few epochs with a validation loss ({len(validation)}) to read over-fitting from."
        )
    best = int(np.argmin(validation))
    rise = validation[-1] / validation[best] - 1 if validation[best] > 0 else 0.0
    if rise > RISE:
        text = (
            f"The validation loss was lowest at epoch {epochs[best]:g} and is "
            f"{rise:.0%} higher at epoch {epochs[-1]:g}"
        )
        if training[-1] < training[best]:
            return (
                f"Over-fitting: {_lower_first(text)}, while the training loss went on falling. "
                "Stop earlier (early_stopping.patience), use the best checkpoint, "
                "or augment more."
            )
        return f"{text}; the training loss rose too: the learning rate may be too high."
    recent = validation[-LAST_EPOCHS:]
    if best == len(validation) - 1 and recent[0] - recent[-1] > FALL * recent[0]:
        return (
            f"The validation loss is still falling at epoch {epochs[-1]:g}: "
            "more epochs are likely to help."
        )
    return (
        f"The validation loss has levelled off (lowest at epoch {epochs[best]:g}); "
        "no over-fitting to be seen."
    )


def _lower_first(text: str) -> str:
    return text[0].lower() + text[1:]
