"""`trainer check`: everything that would end or slow a long run, looked at in seconds.

checks.py holds one pure function a check, from facts to a line with a remedy; facts.py gathers what
does not need TensorFlow, trial_step.py what only a real step tells. Nothing is written but a file
that goes away at once. Imports what a training does. Start reading at preflight_run.py, which
puts them in order.
"""
