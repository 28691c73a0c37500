"""What people look at after a run: plots, contact sheets, one HTML page.

Pure functions from rows and arrays to figures, pixels and text; nothing here imports
TensorFlow or touches the run directory.
"""
