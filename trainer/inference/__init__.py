"""Finished runs at work: report, evaluate, predict, embed, neighbours, export, projector.

Opens a run directory (trained_run.py), never changes its states. Imports bottleneck, training,
tasks, data and report. Start reading at trained_run.py, then serving.py.
"""
