"""What people look at after a run: plots, contact sheets, one HTML page.

Pure functions from rows and arrays to figures, pixels and text. What a finished run puts into its
page is gathered in trainer/inference/finished_run.py, what is of one task in trainer/tasks.
Imports of the trainer the names in monitoring only. Start reading at page.py.
"""
