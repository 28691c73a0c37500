"""Optimizers: AdaBound and AMSBound, and building any optimizer from the configuration."""

from trainer.optimizers.adabound import AdaBound, AMSBound
from trainer.optimizers.build import build_optimizer

__all__ = ["AMSBound", "AdaBound", "build_optimizer"]
