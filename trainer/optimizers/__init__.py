"""This project's optimizers, one file each, and building any optimizer from the configuration.

An entry is a Keras optimizer whose class has the name of its file, ignoring case. Its arguments
come from the keys of `optimizer` with the same names and from `optimizer.args`. Imports config and
compat. Start reading at build_optimizer.py.
"""

from trainer.optimizers.adabound import AdaBound
from trainer.optimizers.amsbound import AMSBound
from trainer.optimizers.build_optimizer import build_optimizer

__all__ = ["AMSBound", "AdaBound", "build_optimizer"]
