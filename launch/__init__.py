"""From a laptop to a cluster with the same command.

`spec.py` is what a user asks for, `render/` turns it into manifests and scripts as plain data,
`backends/` start and watch what was rendered, `commands/` holds a module a command. Rendering is
pure and offline; neither TensorFlow nor Beam is imported, and the Kubernetes client only where an
API server is called.
"""
