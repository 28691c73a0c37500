"""Metrics by name, one file each: a figure of a whole split, in float64 on the host.

An entry has `TASKS`, the tasks it is for, `GREATER`, whether higher is better, and
`build(**settings)`, which returns a function (scores, truth) -> float, or None if undefined. Scores
are float64[N,F]: probabilities of classes or labels, or numbers in their own units; truth is int[N]
with one class a record, bool[N,C] with several labels, float[N,T] for numbers. A figure does not
depend on batches, padding or replicas. The key `metrics` selects them. Imports config and
trainer/metrics.py. Start reading at f1.py.
"""
