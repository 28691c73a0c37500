"""The training loop: steps, epochs, validation, callbacks, checkpoints, resuming.

The loop is four files: loop.py (epochs), steps.py (calls), step_functions.py (what the devices run)
and validation.py. Imports tasks, models, data, monitoring and workers; what reads a finished run is
above it. Start reading at loop.py.
"""
