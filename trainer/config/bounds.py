"""Upper ends of configuration keys, and the fewest calls of a trace."""

from __future__ import annotations

# Upper ends, far above what anybody trains with and below what overflows somewhere inside: seeds
# of numpy are of 32 bits, timers of the system take seconds of a month and more.
MOST_SEED = 2**32 - 1
MOST_EPOCHS = 1_000_000
MOST_STEPS = 1_000_000_000
MOST_ACCUMULATED = 1024  # times the largest batch: rows are numbered by 32 bits
MOST_SECONDS = 2_600_000  # a month
# Fewer calls in a trace give no verdict.
LEAST_TRACED_CALLS = 5
