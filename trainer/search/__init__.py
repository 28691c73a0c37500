"""`trainer search`: many short runs over a space of configurations, by any number of processes.

space.py reads a space, next_runs.py says which runs (search_run.py) are still wanted, noise.py what
the finished ones show: pure functions. study.py keeps the runs in an Optuna study, claims.py says
which process has which run, trial.py runs one as a process of `trainer train`; report.py, plot.py
and hparams.py show the result. Imports config, data, training, monitoring, workers and report;
nothing here imports TensorFlow, so that a GPU is free for the run. Start reading at worker.py.
"""

# A run is a process of its own: it costs the start of TensorFlow (some 8 s) and buys that memory
# goes back whole, that strategies never meet in one process, and that a run that crashes or
# diverges takes nothing with it.
