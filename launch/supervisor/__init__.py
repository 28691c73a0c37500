"""Keeps the workers of a run running: attempts, restarts, and what ends it.

Used by the local back end, by Slurm's job step and by `rehearse`. Start reading at attempts.py;
trainer/workers/supervisor has the restart policy.
"""
