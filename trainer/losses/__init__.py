"""Losses, a file each, one value a record: weighting and averaging belong to the training step.

An entry has `TASK`, whose records it is for, and `build(**settings)`, which checks the settings
and returns a function (values, targets) -> float [b]; values are those that the task judges:
squared distances [b, 3], logits [b, classes]. Settings come from the keys of `loss` of the same
name and from `loss.args`. `loss.name` chooses one. Start reading at triplet.py.
"""

from trainer.losses.arithmetic import squared_distances
from trainer.losses.cross_entropy import class_loss
from trainer.losses.triplet import triplet_loss

__all__ = ["class_loss", "squared_distances", "triplet_loss"]
