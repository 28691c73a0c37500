"""Runs the builder and the trainer on a laptop or a cluster with the same command.

spec.py defines what a user requests, render/ turns it into manifests and scripts as plain data,
backends/ start and watch what was rendered, commands/ has one module for each command.
Rendering is pure and offline. Imports neither TensorFlow nor Beam, the Kubernetes client only when
an API server is called, and of the other packages preprocess/shell, trainer/workers/supervisor and
trainer/monitoring/time_account.py. Start reading at spec.py.
"""
