"""A profile explained without a browser: what a step's time went to, and what to change.

`read.py` alone touches files and TensorFlow; what it makes, an `Explanation`, is plain data, and
all that follows from it (stages, rules, words, the verdict) are pure functions.
"""

from trainer.trace.explanation import Explanation
from trainer.trace.read import explain, explain_run
from trainer.trace.verdict import bottleneck, joined
from trainer.trace.words import lines

__all__ = ["Explanation", "bottleneck", "explain", "explain_run", "joined", "lines"]
