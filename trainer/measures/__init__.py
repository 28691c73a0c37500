"""Metrics by name, a file each: one figure of a whole split, in float64 on the host.

An entry has `TASKS`, whose outputs it is for, `GREATER`, whether more is better, and
`build(**settings)`, which returns a function (scores, truth) -> float, or None where the figure
does not exist. Scores are float64[N,F]: probabilities of classes or labels, numbers in their own
units; truth is int[N] where there is one class a record, bool[N,C] where there are several labels,
float[N,T] of numbers. A split is measured whole, so the figure does not depend on batches, padding
or replicas. `metrics` of the configuration chooses some. Start reading at f1.py.
"""
