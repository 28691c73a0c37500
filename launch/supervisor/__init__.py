"""Keeps the workers of a run running: attempts, restarts, and what ends it.

Used by the local back end, by Slurm's job step and by `rehearse`. trainer/workers/supervisor has
the restart policy; follower_process.py keeps the follower of a training running. Imports runs,
render and that policy. Start reading at attempts.py.
"""
