"""Losses, one file each; a loss gives one value for each record, and the training step averages.

An entry has `TASK`, the task it is for, and `build(**settings)`, which validates the settings and
returns a function (values, targets) -> float [b]. Values are what the task computes: squared
distances [b, 3], logits [b, classes]. Settings come from the keys of `loss` with the same names and
from `loss.args`. `loss.name` selects a loss. Imports config and compat.
Start reading at triplet.py.
"""

from trainer.losses.arithmetic import squared_distances
from trainer.losses.cross_entropy import class_loss
from trainer.losses.triplet import triplet_loss

__all__ = ["class_loss", "squared_distances", "triplet_loss"]
