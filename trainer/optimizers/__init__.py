"""Optimizers of our own, a file each, and building any optimizer from the configuration.

An entry is a Keras optimizer whose class has the name of its file, in any case. Its arguments come
from the keys of `optimizer` of the same name and from `optimizer.args`. Start reading at
build_optimizer.py.
"""

from trainer.optimizers.adabound import AdaBound
from trainer.optimizers.amsbound import AMSBound
from trainer.optimizers.build_optimizer import build_optimizer

__all__ = ["AMSBound", "AdaBound", "build_optimizer"]
