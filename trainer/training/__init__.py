"""The training loop: steps, epochs, validation, callbacks, checkpoints, resuming.

Imports tasks, models, data, monitoring and workers; reporting is above it.
Start reading at loop.py, then steps.py.
"""
