"""A profile explained without a browser: what a step's time went to, and what to change.

read_trace.py alone touches files and TensorFlow; what it makes, an `Explanation`, is plain data,
and all that follows from it (stages, rules, text, the verdict) are pure functions.
Imports the room above and the names of stages. Start reading at explanation.py.
"""

from trainer.bottleneck.trace.explanation import Explanation
from trainer.bottleneck.trace.read_trace import explain, explain_run
from trainer.bottleneck.trace.trace_text import lines
from trainer.bottleneck.trace.trace_verdict import refined, trace_verdict

__all__ = ["Explanation", "explain", "explain_run", "lines", "refined", "trace_verdict"]
