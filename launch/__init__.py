"""Runs the builder and the trainer on a laptop or a cluster with the same command.

`spec.py` defines what a user requests, `render/` turns it into manifests and scripts as plain data,
`backends/` start and watch what was rendered, `commands/` has one module for each command.
Rendering is pure and offline; neither TensorFlow nor Beam is imported, and the Kubernetes client
only when an API server is called.
"""
